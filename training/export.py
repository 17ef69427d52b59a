"""Writes media/model as a public ONNX checkpoint is laid out, from training/checkpoint.

    python -m training.export        # from the running training's latest weights, where there is one

The three graphs are put together by hand from ONNX operators, so that every shape is dynamic:
    vision_encoder        pixel_values [patches, 1176], image_grid_thw [n, 3]
                          -> image_features [N, hidden], visual_keys [heads, N, head_dim]
    embed_tokens          input_ids [B, T] -> inputs_embeds [B, T, hidden]
    decoder_model_merged  inputs_embeds, attention_mask [B, past + T], position_ids [3, B, T], num_logits_to_keep,
                          past_key_values.{i}.{key,value} [B, kv_heads, P, head_dim] -> logits, present.{i}.{key,value}
Weights are stored in fp16 and cast to fp32, in which everything is computed. Attention of the decoder is
GroupQueryAttention: with past and present on one buffer of P >= past + T it appends in place.
"""

import math
import shutil
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from training.layers import MERGE, PATCH_PX
from training.tokenizer import MODEL_DIR, load, save, write_json
from training.train import CHECKPOINT_DIR, RUN_DIR, load_checkpoint

FLOAT, INT64, INT32 = TensorProto.FLOAT, TensorProto.INT64, TensorProto.INT32
NEVER = -1e9  # bias where attention is not allowed


class Graph:
    """Builds a graph node by node; every method takes and returns tensor names."""

    def __init__(self, name):
        self.name, self.nodes, self.initializers, self.known = name, [], [], {}
        self.inputs, self.outputs = [], []

    def op(self, kind, *inputs, outputs=1, to=None, to_type=None, **attributes):
        if to_type is not None:  # "to" is also the name of Cast's attribute
            attributes["to"] = to_type
        names = [to] if to else [f"{kind.lower()}_{len(self.nodes)}_{i}" for i in range(outputs)]
        self.nodes.append(
            helper.make_node(kind, list(inputs), names, f"{kind}_{len(self.nodes)}", **attributes)
        )
        return names[0] if len(names) == 1 else names

    def constant(self, value, dtype=np.int64):
        array = np.asarray(value, dtype)
        key = (array.tobytes(), array.dtype, array.shape)
        if key not in self.known:
            self.known[key] = f"constant_{len(self.known)}"
            self.initializers.append(numpy_helper.from_array(array, self.known[key]))
        return self.known[key]

    def number(self, value):
        return self.constant(value, np.float32)

    def weight(self, name, array):
        """An fp16 initializer, cast to fp32."""
        self.initializers.append(numpy_helper.from_array(array.astype(np.float16), name))
        return self.op("Cast", name, to=name + ".f32", to_type=FLOAT)

    def input(self, name, dtype, shape):
        self.inputs.append(helper.make_tensor_value_info(name, dtype, shape))
        return name

    def output(self, name, dtype, shape):
        self.outputs.append(helper.make_tensor_value_info(name, dtype, shape))

    def reshape(self, x, shape):
        return self.op("Reshape", x, self.constant(shape))

    def save(self, path):
        graph = helper.make_graph(self.nodes, self.name, self.inputs, self.outputs, self.initializers)
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)],
            ir_version=8,
            producer_name="avis",
        )
        onnx.checker.check_model(model)
        path.parent.mkdir(parents=True, exist_ok=True)
        onnx.save(model, str(path))


class Weights:
    """Reads a state dict by name into a graph."""

    def __init__(self, graph, state, prefix):
        self.graph, self.state, self.prefix = graph, state, prefix

    def array(self, name):
        return self.state[self.prefix + name].float().numpy()

    def linear(self, x, *names):
        """x @ weight.T (+ bias); several layers of one input become one product, their outputs side by side."""
        joined = lambda part: np.concatenate([self.array(f"{name}.{part}") for name in names])
        y = self.graph.op("MatMul", x, self.graph.weight(names[0], joined("weight").T.copy()))
        if self.prefix + names[0] + ".bias" in self.state:
            y = self.graph.op("Add", y, self.graph.weight(names[0] + ".bias", joined("bias")))
        return y

    def norm(self, x, name, eps=1e-6):
        g = self.graph
        # Pow, not Mul: onnxruntime fuses this form into one operator.
        mean = g.op("ReduceMean", g.op("Pow", x, g.number(2.0)), axes=[-1], keepdims=1)
        y = g.op("Div", x, g.op("Sqrt", g.op("Add", mean, g.number(eps))))
        return g.op("Mul", y, g.weight(name, self.array(name + ".weight")))

    def mlp(self, x, name):
        g = self.graph
        gate, up = g.op("Split", self.linear(x, name + ".gate_proj", name + ".up_proj"), axis=-1, outputs=2)
        gate = g.op("Mul", gate, g.op("Sigmoid", gate))
        return self.linear(g.op("Mul", gate, up), name + ".down_proj")


def rotate(g, x, cos, sin):
    """Rotary embedding, halves convention. x [..., head_dim]; cos, sin [..., head_dim / 2]"""
    a, b = g.op("Split", x, axis=-1, outputs=2)
    left = g.op("Sub", g.op("Mul", a, cos), g.op("Mul", b, sin))
    right = g.op("Add", g.op("Mul", b, cos), g.op("Mul", a, sin))
    return g.op("Concat", left, right, axis=-1)


def patch_geometry(g, config):
    """From image_grid_thw and the number of patches: row and column of every patch, and attention
    biases [patches, patches] within a frame and within a window. Patches come in merge-group order."""
    one = lambda v: g.constant([v])
    size = g.op("ReduceProd", "image_grid_thw", axes=[1], keepdims=0)  # [n]
    end = g.op("CumSum", size, g.constant(0))
    patches = g.op("Gather", g.op("Shape", "pixel_values"), g.constant(0))
    index = g.op("Range", g.constant(0), patches, g.constant(1))  # [patches]
    after = g.op("GreaterOrEqual", g.op("Unsqueeze", index, one(1)), g.op("Unsqueeze", end, one(0)))
    image = g.op("ReduceSum", g.op("Cast", after, to_type=INT64), one(1), keepdims=0)
    own = lambda x: g.op("Gather", x, image)
    index = g.op("Sub", index, own(g.op("Sub", end, size)))
    column = lambda i: own(g.op("Gather", "image_grid_thw", g.constant(i), axis=1))
    height, width = column(1), column(2)
    area = g.op("Mul", height, width)
    frame, index = g.op("Div", index, area), g.op("Mod", index, area)
    group, inner = g.op("Div", index, one(MERGE**2)), g.op("Mod", index, one(MERGE**2))
    across = g.op("Div", width, one(MERGE))
    spread = lambda outer, rest: g.op("Add", g.op("Mul", outer, one(MERGE)), rest)
    row = spread(g.op("Div", group, across), g.op("Div", inner, one(MERGE)))
    col = spread(g.op("Mod", group, across), g.op("Mod", inner, one(MERGE)))

    side = config.window_px // PATCH_PX
    join = lambda a, b, base: g.op("Add", g.op("Mul", a, one(base)), b)
    frame = join(image, frame, 1 << 12)
    window = join(join(frame, g.op("Div", row, one(side)), 1 << 12), g.op("Div", col, one(side)), 1 << 12)

    def bias(ids):
        same = g.op("Equal", g.op("Unsqueeze", ids, one(1)), g.op("Unsqueeze", ids, one(0)))
        return g.op("Where", same, g.number(0.0), g.number(NEVER))

    return row, col, bias(frame), bias(window)


def vision_encoder(state, config, path):
    g = Graph("vision_encoder")
    g.input("pixel_values", FLOAT, ["patches", 2 * 3 * PATCH_PX**2])
    g.input("image_grid_thw", INT64, ["images", 3])
    w = Weights(g, state, "model.visual.")
    heads, hidden = config.vision_heads, config.vision_hidden
    dim = hidden // heads
    row, col, frame_bias, window_bias = patch_geometry(g, config)

    inverse = g.number(1.0 / 10000 ** (np.arange(0, dim // 2, 2) / (dim // 2)))
    angle = lambda at: g.op("Mul", g.op("Unsqueeze", g.op("Cast", at, to_type=FLOAT), g.constant([1])), inverse)
    angles = g.op("Unsqueeze", g.op("Concat", angle(row), angle(col), axis=-1), g.constant([1]))
    cos, sin = g.op("Cos", angles), g.op("Sin", angles)  # [patches, 1, head_dim / 2]

    kernel = w.array("patch_embed.proj.weight").reshape(hidden, -1).T.copy()
    x = g.op("MatMul", "pixel_values", g.weight("patch_embed.proj", kernel))
    for i in range(config.vision_depth):
        block = f"blocks.{i}."
        y = w.linear(w.norm(x, block + "norm1"), block + "attn.qkv")
        q, k, v = g.op("Split", g.reshape(y, [-1, 3 * heads, dim]), axis=1, outputs=3)
        q, k = rotate(g, q, cos, sin), rotate(g, k, cos, sin)
        q = g.op("Mul", g.op("Transpose", q, perm=[1, 0, 2]), g.number(dim**-0.5))  # [heads, patches, dim]
        scores = g.op("MatMul", q, g.op("Transpose", k, perm=[1, 2, 0]))
        bias = frame_bias if i in config.full_attention_blocks else window_bias
        weights = g.op("Softmax", g.op("Add", scores, bias), axis=-1)
        y = g.op("MatMul", weights, g.op("Transpose", v, perm=[1, 0, 2]))
        y = g.reshape(g.op("Transpose", y, perm=[1, 0, 2]), [-1, hidden])
        x = g.op("Add", x, w.linear(y, block + "attn.proj"))
        x = g.op("Add", x, w.mlp(w.norm(x, block + "norm2"), block + "mlp"))
    keys = g.reshape(g.op("Transpose", k, perm=[1, 0, 2]), [heads, -1, MERGE**2, dim])
    g.op("ReduceMean", keys, axes=[2], keepdims=0, to="visual_keys")

    x = w.linear(g.reshape(w.norm(x, "merger.ln_q"), [-1, hidden * MERGE**2]), "merger.mlp.0")
    error = g.op("Erf", g.op("Mul", x, g.number(math.sqrt(0.5))))
    x = g.op("Mul", g.op("Mul", x, g.number(0.5)), g.op("Add", error, g.number(1.0)))
    g.op("Identity", w.linear(x, "merger.mlp.2"), to="image_features")
    g.output("image_features", FLOAT, ["visual_tokens", config.hidden])
    g.output("visual_keys", FLOAT, [heads, "visual_tokens", dim])
    g.save(path)


def embed_tokens(state, config, path):
    g = Graph("embed_tokens")
    g.input("input_ids", INT64, ["batch_size", "sequence"])
    table = state["model.language_model.embed_tokens.weight"].float().numpy().astype(np.float16)
    g.initializers.append(numpy_helper.from_array(table, "embed_tokens"))
    g.op("Cast", g.op("Gather", "embed_tokens", "input_ids"), to_type=FLOAT, to="inputs_embeds")
    g.output("inputs_embeds", FLOAT, ["batch_size", "sequence", config.hidden])
    g.save(path)


def decoder(state, config, path):
    g = Graph("decoder_model_merged")
    kv, dim = config.kv_heads, config.head_dim
    g.input("inputs_embeds", FLOAT, ["batch_size", "sequence", config.hidden])
    g.input("attention_mask", INT64, ["batch_size", "total"])
    g.input("position_ids", INT64, [3, "batch_size", "sequence"])
    g.input("num_logits_to_keep", INT64, [])
    w = Weights(g, state, "model.language_model.")

    # M-RoPE: every frequency belongs to one of the axes time, height, width.
    half = dim // 2
    axes = np.concatenate([np.full(n, i % 3) for i, n in enumerate(config.mrope_section)])
    table = np.zeros((3, half), np.float32)
    table[axes, np.arange(half)] = config.rope_theta ** (-np.arange(half) / half)
    where = g.op("Transpose", g.op("Cast", "position_ids", to_type=FLOAT), perm=[1, 2, 0])  # [B, T, 3]
    angles = g.op("Unsqueeze", g.op("MatMul", where, g.number(table)), g.constant([2]))
    cos, sin = g.op("Cos", angles), g.op("Sin", angles)  # [B, T, 1, head_dim / 2]

    length = g.op("ReduceSum", "attention_mask", g.constant([1]), keepdims=0)
    last = g.op("Cast", g.op("Sub", length, g.constant([1])), to_type=INT32)  # [B]
    total = g.op("Gather", g.op("Shape", "attention_mask"), g.constant(1))
    total = g.op("Cast", total, to_type=INT32)

    heads = config.heads
    x = "inputs_embeds"
    for i in range(config.layers):
        layer = f"layers.{i}."
        past = [g.input(f"past_key_values.{i}.{part}", FLOAT, ["batch_size", kv, "past", dim]) for part in ("key", "value")]
        present = [f"present.{i}.key", f"present.{i}.value"]
        y = w.norm(x, layer + "input_layernorm")
        y = w.linear(y, *(f"{layer}self_attn.{part}_proj" for part in "qkv"))
        turned, v = g.op("Split", y, g.constant([(heads + kv) * dim, kv * dim]), axis=-1, outputs=2)
        turned = rotate(g, g.reshape(turned, [0, 0, heads + kv, dim]), cos, sin)
        turned = g.reshape(turned, [0, 0, (heads + kv) * dim])
        q, k = g.op("Split", turned, g.constant([heads * dim, kv * dim]), axis=-1, outputs=2)
        attended = f"attention_{i}"
        g.nodes.append(helper.make_node(
            "GroupQueryAttention", [q, k, v, *past, last, total], [attended, *present], f"GroupQueryAttention_{i}",
            domain="com.microsoft", num_heads=heads, kv_num_heads=kv, scale=dim**-0.5, do_rotary=0,
        ))  # fmt: skip
        x = g.op("Add", x, w.linear(attended, layer + "self_attn.o_proj"))
        x = g.op("Add", x, w.mlp(w.norm(x, layer + "post_attention_layernorm"), layer + "mlp"))

    # 0 keeps all: a slice from -0 on.
    start = g.op("Unsqueeze", g.op("Neg", "num_logits_to_keep"), g.constant([0]))
    x = g.op("Slice", x, start, g.constant([2**62]), g.constant([1]))
    head = g.weight("lm_head", w.array("embed_tokens.weight").T.copy())
    g.op("MatMul", w.norm(x, "norm"), head, to="logits")
    g.output("logits", FLOAT, ["batch_size", "kept", config.vocab_size])
    for i in range(config.layers):
        for part in ("key", "value"):
            g.output(f"present.{i}.{part}", FLOAT, ["batch_size", kv, "present", dim])
    g.save(path)


def export(model, folder: Path):
    """Graphs and configuration of `model` into `folder`."""
    tokenizer, config, state = load(), model.config, model.state_dict()
    vision_encoder(state, config, folder / "onnx" / "vision_encoder.onnx")
    embed_tokens(state, config, folder / "onnx" / "embed_tokens.onnx")
    decoder(state, config, folder / "onnx" / "decoder_model_merged.onnx")
    save(tokenizer, folder)
    ids = {t: tokenizer.token_to_id(t) for t in tokenizer.get_vocab() if t.startswith("<|")}
    write_json(folder / "config.json", config.to_transformers(ids))
    write_json(folder / "generation_config.json", {
        "bos_token_id": ids["<|endoftext|>"],
        "eos_token_id": ids["<|im_end|>"],
        "pad_token_id": ids["<|endoftext|>"],
        "do_sample": False,
        "max_new_tokens": 192,
    })


def take_over():
    """The live run's weights, if there is one, become the checkpoint in git."""
    CHECKPOINT_DIR.mkdir(exist_ok=True)
    for name in ("model.safetensors", "state.json"):
        if (RUN_DIR / name).exists():
            shutil.copyfile(RUN_DIR / name, CHECKPOINT_DIR / name)


if __name__ == "__main__":
    take_over()
    export(load_checkpoint(), MODEL_DIR)
    for file in sorted((MODEL_DIR / "onnx").iterdir()):
        print(f"{file.name}: {file.stat().st_size / 1e6:.2f} MB")
