"""
Checkpoints with the true shapes of Qwen2.5-VL-3B and SmolVLM-256M and random weights, to measure load
time, memory and the cost of a step where the real weights can't be had. What they answer means nothing.

    python test/bench/makeRealShapes.py qwen2_5_vl-3b FOLDER     # 2.7 GB; about a minute
    python test/bench/makeRealShapes.py smolvlm-256m FOLDER      # 0.3 GB

As in the public exports, the decoder is int4 (MatMulNBits, blocks of 32), the vision encoder and the
token embeddings are int8. Qwen's decoder appends its cache with GroupQueryAttention; SmolVLM's
concatenates, as optimum writes it. Tokenizer and templates are those of the tiny test checkpoints.
"""

import argparse
import json
import math
import shutil
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

FIXTURES = Path(__file__).parent.parent / "fixtures" / "checkpoints"
FLOAT, INT64, INT32, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.INT32, TensorProto.BOOL
BLOCK = 32  # weights that share a scale
INT4_SPREAD, INT8_SPREAD = 4.6, 74.0  # standard deviation of uniform int4 and int8 weights

QWEN = dict(
    fixture="qwen2_5_vl-tiny",
    text=dict(hidden_size=2048, num_hidden_layers=36, num_attention_heads=16, num_key_value_heads=2, intermediate_size=11008, vocab_size=151936),
    vision=dict(depth=32, hidden_size=1280, intermediate_size=3420, num_heads=16, out_hidden_size=2048, fullatt_block_indexes=[7, 15, 23, 31], window_size=112),
    rope_theta=1e6,
    mrope_section=[16, 24, 24],
)  # fmt: skip
SMOL = dict(
    fixture="smolvlm-tiny",
    text=dict(hidden_size=576, num_hidden_layers=30, num_attention_heads=9, num_key_value_heads=3, intermediate_size=1536, vocab_size=49280, head_dim=64),
    vision=dict(num_hidden_layers=12, hidden_size=768, intermediate_size=3072, num_attention_heads=12, patch_size=16, image_size=512),
    rope_theta=1e5,
    scale_factor=4,
)  # fmt: skip


class Graph:
    """Builds a graph node by node; large random weights go straight to the external data file."""

    def __init__(self, path):
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path, self.rng = path, np.random.default_rng(0)
        self.data_name = path.name + "_data"
        self.data = (path.parent / self.data_name).open("wb")
        self.nodes, self.initializers, self.inputs, self.outputs, self.known = [], [], [], [], {}

    def op(self, kind, *inputs, outputs=1, to=None, domain="", **attributes):
        names = [to] if to else [f"{kind}_{len(self.nodes)}_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(kind, list(inputs), names, f"{kind}_{len(self.nodes)}", domain=domain, **attributes))
        return names[0] if len(names) == 1 else names

    def cast(self, x, to_type):
        name = f"Cast_{len(self.nodes)}"
        self.nodes.append(helper.make_node("Cast", [x], [name], name, to=to_type))
        return name

    def constant(self, value, dtype=np.int64):
        array = np.asarray(value, dtype)
        key = (array.tobytes(), array.dtype, array.shape)
        if key not in self.known:
            self.known[key] = f"constant_{len(self.known)}"
            self.initializers.append(numpy_helper.from_array(array, self.known[key]))
        return self.known[key]

    def number(self, value):
        return self.constant(value, np.float32)

    def random(self, dtype, shape):
        """Uniform over all values of an integer type, in the external data file."""
        tensor = TensorProto(name=f"weight_{len(self.initializers)}", data_type=dtype, dims=shape)
        size = math.prod(shape)
        for key, value in (("location", self.data_name), ("offset", self.data.tell()), ("length", size)):
            tensor.external_data.add(key=key, value=str(value))
        tensor.data_location = TensorProto.EXTERNAL
        self.data.write(self.rng.bytes(size))
        self.initializers.append(tensor)
        return tensor.name

    def int4(self, x, inputs, outputs):
        """x @ W, W int4 in blocks of 32 along the inputs."""
        blocks = -(-inputs // BLOCK)
        weight = self.random(TensorProto.UINT8, [outputs, blocks, BLOCK // 2])
        scale = self.constant(np.full(outputs * blocks, 1 / (INT4_SPREAD * math.sqrt(inputs))), np.float32)
        return self.op("MatMulNBits", x, weight, scale, domain="com.microsoft", K=inputs, N=outputs, bits=4, block_size=BLOCK, accuracy_level=4)

    def int8(self, x, inputs, outputs):
        """x @ W, W int8 and x quantized at run time."""
        weight = self.random(TensorProto.INT8, [inputs, outputs])
        small, scale, zero = self.op("DynamicQuantizeLinear", x, outputs=3)
        product = self.cast(self.op("MatMulInteger", small, weight, zero), FLOAT)
        return self.op("Mul", product, self.op("Mul", scale, self.number(1 / (INT8_SPREAD * math.sqrt(inputs)))))

    def norm(self, x, size):
        return self.op("SimplifiedLayerNormalization", x, self.constant(np.ones(size), np.float32), axis=-1, epsilon=1e-6)

    def gated_mlp(self, x, linear, size, inner):
        gate = linear(x, size, inner)
        gate = self.op("Mul", gate, self.op("Sigmoid", gate))
        return linear(self.op("Mul", gate, linear(x, size, inner)), inner, size)

    def reshape(self, x, shape):
        return self.op("Reshape", x, self.constant(shape))

    def size(self, x, axis):
        return self.op("Gather", self.op("Shape", x), self.constant(axis))

    def unsqueeze(self, x, *axes):
        return self.op("Unsqueeze", x, self.constant(axes))

    def input(self, name, dtype, shape):
        self.inputs.append(helper.make_tensor_value_info(name, dtype, shape))
        return name

    def output(self, name, dtype, shape):
        self.outputs.append(helper.make_tensor_value_info(name, dtype, shape))

    def save(self):
        self.data.close()
        graph = helper.make_graph(self.nodes, self.path.stem, self.inputs, self.outputs, self.initializers)
        opsets = [helper.make_opsetid("", 18), helper.make_opsetid("com.microsoft", 1)]
        onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), str(self.path))
        print(f"{self.path.name}: {(self.path.stat().st_size + (self.path.parent / self.data_name).stat().st_size) / 1e6:.0f} MB")


def rotate(g, x, cos, sin):
    """Rotary embedding, halves convention. x [.., head_dim]; cos, sin [.., head_dim / 2]"""
    a, b = g.op("Split", x, axis=-1, num_outputs=2, outputs=2)
    left = g.op("Sub", g.op("Mul", a, cos), g.op("Mul", b, sin))
    return g.op("Concat", left, g.op("Add", g.op("Mul", b, cos), g.op("Mul", a, sin)), axis=-1)


def attend(g, q, k, v, bias):
    """Decomposed attention, [.., heads, tokens, head_dim]; q is scaled already."""
    rank = 4 if bias is None or isinstance(bias, tuple) else 3
    swap = [0, 1, 3, 2] if rank == 4 else [0, 2, 1]
    scores = g.op("MatMul", q, g.op("Transpose", k, perm=swap))
    if bias is not None:
        scores = g.op("Add", scores, bias[0] if isinstance(bias, tuple) else bias)
    return g.op("MatMul", g.op("Softmax", scores, axis=-1), v)


def embed_tokens(folder, text):
    g = Graph(folder / "onnx" / "embed_tokens_int8.onnx")
    g.input("input_ids", INT64, ["batch_size", "sequence_length"])
    rows = g.op("Gather", g.random(TensorProto.INT8, [text["vocab_size"], text["hidden_size"]]), "input_ids")
    g.op("Mul", g.cast(rows, FLOAT), g.number(0.02 / INT8_SPREAD), to="inputs_embeds")
    g.output("inputs_embeds", FLOAT, ["batch_size", "sequence_length", text["hidden_size"]])
    g.save()


def decoder(folder, spec, axes):
    """axes: 3 for M-RoPE with GroupQueryAttention, 1 for plain positions with a concatenated cache."""
    text = spec["text"]
    hidden, heads, kv = text["hidden_size"], text["num_attention_heads"], text["num_key_value_heads"]
    dim = text.get("head_dim", hidden // heads)
    g = Graph(folder / "onnx" / "decoder_model_merged_q4.onnx")
    g.input("inputs_embeds", FLOAT, ["batch_size", "sequence_length", hidden])
    g.input("attention_mask", INT64, ["batch_size", "total_sequence_length"])
    g.input("position_ids", INT64, ([3] if axes == 3 else []) + ["batch_size", "sequence_length"])
    frequency = spec["rope_theta"] ** (-np.arange(dim // 2) / (dim // 2))
    where = g.cast("position_ids", FLOAT)
    if axes == 3:
        owner = np.concatenate([np.full(n, i % 3) for i, n in enumerate(spec["mrope_section"])])
        table = np.zeros((3, dim // 2), np.float32)
        table[owner, np.arange(dim // 2)] = frequency
        angles = g.op("MatMul", g.op("Transpose", where, perm=[1, 2, 0]), g.number(table))
        angles = g.unsqueeze(angles, 2)  # [B, T, 1, head_dim / 2]
        length = g.op("ReduceSum", "attention_mask", g.constant([1]), keepdims=0)
        last = g.cast(g.op("Sub", length, g.constant([1])), INT32)
        total = g.cast(g.size("attention_mask", 1), INT32)
    else:
        angles = g.op("Mul", g.unsqueeze(where, 1, 3), g.number(frequency.reshape(1, 1, 1, -1)))  # [B, 1, T, d/2]
        total, tokens = g.size("attention_mask", 1), g.size("inputs_embeds", 1)
        index = lambda start: g.op("Range", start, total, g.constant(1))
        query, key = g.unsqueeze(index(g.op("Sub", total, tokens)), 1), g.unsqueeze(index(g.constant(0)), 0)
        causal = (g.op("Where", g.op("LessOrEqual", key, query), g.number(0.0), g.number(-1e9)),)
    cos, sin = g.op("Cos", angles), g.op("Sin", angles)

    def repeated(x):
        """[B, kv, total, dim] -> [B, heads, total, dim]"""
        ones = g.constant([1, 1, heads // kv, 1, 1])
        return g.reshape(g.op("Expand", g.unsqueeze(x, 2), ones), [0, heads, -1, dim])

    x = "inputs_embeds"
    for i in range(text["num_hidden_layers"]):
        past = [g.input(f"past_key_values.{i}.{part}", FLOAT, ["batch_size", kv, "past_sequence_length", dim]) for part in ("key", "value")]
        present = [f"present.{i}.{part}" for part in ("key", "value")]
        y = g.norm(x, hidden)
        q, k, v = g.int4(y, hidden, heads * dim), g.int4(y, hidden, kv * dim), g.int4(y, hidden, kv * dim)
        if axes == 3:
            spin = lambda t, n: g.reshape(rotate(g, g.reshape(t, [0, 0, n, dim]), cos, sin), [0, 0, n * dim])
            attended = f"attention_{i}"
            g.nodes.append(helper.make_node("GroupQueryAttention", [spin(q, heads), spin(k, kv), v, *past, last, total], [attended, *present],
                f"GroupQueryAttention_{i}", domain="com.microsoft", num_heads=heads, kv_num_heads=kv, scale=dim**-0.5))  # fmt: skip
        else:
            split = lambda t, n: g.op("Transpose", g.reshape(t, [0, 0, n, dim]), perm=[0, 2, 1, 3])
            q = g.op("Mul", rotate(g, split(q, heads), cos, sin), g.number(dim**-0.5))
            k = g.op("Concat", past[0], rotate(g, split(k, kv), cos, sin), axis=2, to=present[0])
            v = g.op("Concat", past[1], split(v, kv), axis=2, to=present[1])
            y = attend(g, q, repeated(k), repeated(v), causal)
            attended = g.reshape(g.op("Transpose", y, perm=[0, 2, 1, 3]), [0, 0, heads * dim])
        x = g.op("Add", x, g.int4(attended, heads * dim, hidden))
        x = g.op("Add", x, g.gated_mlp(g.norm(x, hidden), g.int4, hidden, text["intermediate_size"]))
    if axes == 3:
        g.input("num_logits_to_keep", INT64, [])
        start = g.unsqueeze(g.op("Neg", "num_logits_to_keep"), 0)
        x = g.op("Slice", x, start, g.constant([2**62]), g.constant([1]))
    g.op("Identity", g.int4(g.norm(x, hidden), hidden, text["vocab_size"]), to="logits")
    g.output("logits", FLOAT, ["batch_size", "logits_sequence_length", text["vocab_size"]])
    for i in range(text["num_hidden_layers"]):
        for part in ("key", "value"):
            g.output(f"present.{i}.{part}", FLOAT, ["batch_size", kv, "total_sequence_length", dim])
    g.save()


def qwen_vision(folder, vision):
    """One image a run, so that the grid is the whole sequence. Windows are masked, not cut out."""
    g = Graph(folder / "onnx" / "vision_encoder_int8.onnx")
    hidden, heads = vision["hidden_size"], vision["num_heads"]
    dim = hidden // heads
    g.input("pixel_values", FLOAT, ["patches", 1176])
    g.input("image_grid_thw", INT64, ["images", 3])
    width = g.op("Gather", g.reshape("image_grid_thw", [-1]), g.constant(2))
    index = g.op("Range", g.constant(0), g.size("pixel_values", 0), g.constant(1))
    group, inner = g.op("Div", index, g.constant(4)), g.op("Mod", index, g.constant(4))
    across, two = g.op("Div", width, g.constant(2)), g.constant(2)
    row = g.op("Add", g.op("Mul", g.op("Div", group, across), two), g.op("Div", inner, two))
    col = g.op("Add", g.op("Mul", g.op("Mod", group, across), two), g.op("Mod", inner, two))
    side = g.constant(vision["window_size"] // 14)
    window = g.op("Add", g.op("Mul", g.op("Div", row, side), g.constant(4096)), g.op("Div", col, side))
    same = g.op("Equal", g.unsqueeze(window, 1), g.unsqueeze(window, 0))
    windowed = g.op("Where", same, g.number(0.0), g.number(-1e9))
    inverse = g.number(1.0 / 10000 ** (np.arange(0, dim // 2, 2) / (dim // 2)))
    angle = lambda at: g.op("Mul", g.unsqueeze(g.cast(at, FLOAT), 1), inverse)
    angles = g.unsqueeze(g.op("Concat", angle(row), angle(col), axis=-1), 1)
    cos, sin = g.op("Cos", angles), g.op("Sin", angles)
    x = g.int8("pixel_values", 1176, hidden)
    for i in range(vision["depth"]):
        y = g.reshape(g.int8(g.norm(x, hidden), hidden, 3 * hidden), [-1, 3 * heads, dim])
        q, k, v = g.op("Split", y, axis=1, num_outputs=3, outputs=3)
        to_heads = lambda t: g.op("Transpose", t, perm=[1, 0, 2])
        q = g.op("Mul", to_heads(rotate(g, q, cos, sin)), g.number(dim**-0.5))
        bias = g.number(0.0) if i in vision["fullatt_block_indexes"] else windowed
        y = attend(g, q, to_heads(rotate(g, k, cos, sin)), to_heads(v), bias)
        x = g.op("Add", x, g.int8(g.reshape(to_heads(y), [-1, hidden]), hidden, hidden))
        x = g.op("Add", x, g.gated_mlp(g.norm(x, hidden), g.int8, hidden, vision["intermediate_size"]))
    x = g.int8(g.reshape(g.norm(x, hidden), [-1, 4 * hidden]), 4 * hidden, 4 * hidden)
    g.op("Identity", g.int8(g.op("Gelu", x, domain="com.microsoft"), 4 * hidden, vision["out_hidden_size"]), to="image_features")
    g.output("image_features", FLOAT, ["visual_tokens", vision["out_hidden_size"]])
    g.save()


def smol_vision(folder, vision, scale, text_hidden):
    g = Graph(folder / "onnx" / "vision_encoder_int8.onnx")
    hidden, heads, px = vision["hidden_size"], vision["num_attention_heads"], vision["image_size"]
    dim, patch = hidden // heads, vision["patch_size"]
    side = px // patch
    g.input("pixel_values", FLOAT, ["batch_size", "num_images", 3, px, px])
    g.input("pixel_attention_mask", BOOL, ["batch_size", "num_images", px, px])
    x = g.reshape("pixel_values", [-1, 3, side, patch, side, patch])
    x = g.reshape(g.op("Transpose", x, perm=[0, 2, 4, 1, 3, 5]), [-1, side * side, 3 * patch * patch])
    shown = g.cast(g.op("ReduceMax", g.cast("pixel_attention_mask", FLOAT), keepdims=0), FLOAT)
    x = g.op("Mul", g.int8(x, 3 * patch * patch, hidden), shown)
    to_heads = lambda t: g.op("Transpose", g.reshape(t, [0, 0, heads, dim]), perm=[0, 2, 1, 3])
    for _ in range(vision["num_hidden_layers"]):
        y = g.norm(x, hidden)
        q = g.op("Mul", to_heads(g.int8(y, hidden, hidden)), g.number(dim**-0.5))
        k, v = to_heads(g.int8(y, hidden, hidden)), to_heads(g.int8(y, hidden, hidden))
        y = g.op("Transpose", attend(g, q, k, v, None), perm=[0, 2, 1, 3])
        x = g.op("Add", x, g.int8(g.reshape(y, [0, 0, hidden]), hidden, hidden))
        y = g.op("Gelu", g.int8(g.norm(x, hidden), hidden, vision["intermediate_size"]), domain="com.microsoft")
        x = g.op("Add", x, g.int8(y, vision["intermediate_size"], hidden))
    few, wide = side // scale, hidden * scale
    x = g.op("Transpose", g.reshape(g.norm(x, hidden), [-1, side, few, wide]), perm=[0, 2, 1, 3])
    x = g.op("Transpose", g.reshape(x, [-1, few, few, wide * scale]), perm=[0, 2, 1, 3])
    x = g.int8(g.reshape(x, [-1, few * few, wide * scale]), wide * scale, text_hidden)
    g.op("Identity", x, to="image_features")
    g.output("image_features", FLOAT, ["num_images", few * few, text_hidden])
    g.save()


def settings(folder, spec, image_px):
    """Configuration, tokenizer and templates of the tiny checkpoint, at this one's sizes."""
    source = FIXTURES / spec["fixture"]
    for file in source.iterdir():
        if file.is_file() and not file.name.startswith("reference"):
            shutil.copy(file, folder / file.name)

    def change(name, edit):
        value = json.loads((folder / name).read_text())
        edit(value)
        (folder / name).write_text(json.dumps(value))

    def tokenizer(value):
        known = len(value["model"]["vocab"]) + len(value["added_tokens"])
        for i in range(known, spec["text"]["vocab_size"]):
            value["model"]["vocab"][f"token{i}"] = i

    change("tokenizer.json", tokenizer)
    template = json.loads((folder / "chat_template.json").read_text())
    change("tokenizer_config.json", lambda t: t.update(template))  # where transformers.js looks
    if spec is QWEN:
        change("config.json", lambda c: (c.update(spec["text"]), c["vision_config"].update(spec["vision"]), c["rope_scaling"].update(mrope_section=spec["mrope_section"]),
                                         c.update(text_config={k: v for k, v in c.items() if k not in ("vision_config", "architectures")} | {"model_type": "qwen2_5_vl_text"})))  # fmt: skip
        change("preprocessor_config.json", lambda p: p.update(min_pixels=3136, max_pixels=image_px**2))
    else:
        change("config.json", lambda c: (c["text_config"].update(spec["text"]), c["vision_config"].update(spec["vision"] | {"size": {"longest_edge": image_px}}),
                                         c.update(vocab_size=spec["text"]["vocab_size"], scale_factor=spec["scale_factor"])))  # fmt: skip
        change("preprocessor_config.json", lambda p: p.update(max_image_size={"longest_edge": 512}, size={"longest_edge": image_px}))
        if (folder / "processor_config.json").exists():
            side = 512 // 16 // spec["scale_factor"]
            change("processor_config.json", lambda p: p.update(image_seq_len=side * side))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("model", choices=["qwen2_5_vl-3b", "smolvlm-256m"])
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    folder = arguments.folder
    folder.mkdir(parents=True, exist_ok=True)
    if arguments.model == "qwen2_5_vl-3b":
        settings(folder, QWEN, 1288)
        qwen_vision(folder, QWEN["vision"])
        embed_tokens(folder, QWEN["text"])
        decoder(folder, QWEN, 3)
    else:
        settings(folder, SMOL, 2048)
        smol_vision(folder, SMOL["vision"], SMOL["scale_factor"], SMOL["text"]["hidden_size"])
        embed_tokens(folder, SMOL["text"])
        decoder(folder, SMOL, 1)
