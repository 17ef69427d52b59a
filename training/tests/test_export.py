"""Exported graphs in onnxruntime against the training model and against transformers.

    python -m pytest training/tests/test_export.py
"""

import numpy as np
import onnxruntime as ort
import pytest
import torch
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

from training.export import decoder, embed_tokens, vision_encoder
from training.layers import Config
from training.model import AvisModel, after_image, visual_positions
from training.vision import patchify
from training.tests.test_model import IDS, hf_patches

CONFIG = Config(vocab_size=300)
KV, DIM = CONFIG.kv_heads, CONFIG.head_dim


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(1)
    model = AvisModel(CONFIG).eval().requires_grad_(False)
    for p in model.parameters():  # fp16 is what is stored
        p.copy_((p + torch.randn_like(p) * (0.3 if p.dim() == 1 else 0.02)).half().float())
    return model


@pytest.fixture(scope="module")
def reference(model):
    theirs = Qwen2_5_VLForConditionalGeneration(Qwen2_5_VLConfig(**CONFIG.to_transformers(IDS)))
    state = dict(model.state_dict())
    state["lm_head.weight"] = state["model.language_model.embed_tokens.weight"]
    theirs.load_state_dict(state)
    return theirs.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def sessions(model, tmp_path_factory):
    folder, state, made = tmp_path_factory.mktemp("onnx"), model.state_dict(), {}
    for build in (vision_encoder, embed_tokens, decoder):
        path = folder / f"{build.__name__}.onnx"
        build(state, CONFIG, path)
        made[build.__name__] = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return made


def encode(sessions, pictures):
    patches = torch.cat([hf_patches(p) for p in pictures]).numpy()
    grid = np.array([[1, p.shape[1] // 14, p.shape[2] // 14] for p in pictures], np.int64)
    return sessions["vision_encoder"].run(None, {"pixel_values": patches, "image_grid_thw": grid}), grid


def picture(rows, cols):
    return torch.randint(0, 256, (1, rows * 28, cols * 28, 3), dtype=torch.uint8)


@pytest.mark.parametrize("rows,cols", [(5, 5), (4, 9), (13, 3), (16, 16)])
def test_vision_encoder(model, sessions, rows, cols):
    pixels = picture(rows, cols)
    features, keys = model.model.visual(pixels)
    (got_features, got_keys), _ = encode(sessions, [pixels])
    assert np.abs(got_features - features[0].numpy()).max() < 1e-4
    assert np.abs(got_keys - keys[0].numpy()).max() < 1e-4


def test_several_pictures_do_not_see_each_other(model, reference, sessions):
    pictures = [picture(5, 7), picture(3, 4), picture(9, 2)]
    (got_features, got_keys), grid = encode(sessions, pictures)
    patches = torch.cat([hf_patches(p) for p in pictures])
    want = reference.model.visual(patches, torch.from_numpy(grid)).pooler_output.numpy()
    assert np.abs(got_features - want).max() < 1e-4
    keys = torch.cat([model.model.visual(p)[1][0] for p in pictures], dim=1)
    assert np.abs(got_keys - keys.numpy()).max() < 1e-4


def feed(sessions, ids, positions, past, total, keep=0):
    embeds = sessions["embed_tokens"].run(None, {"input_ids": ids})[0]
    values = {
        "inputs_embeds": embeds,
        "attention_mask": np.ones((len(ids), total), np.int64),
        "position_ids": positions,
        "num_logits_to_keep": np.array(keep, np.int64),
    }
    return values | past


def empty_past(batch, length=0):
    shape = (batch, KV, length, DIM)
    names = [f"past_key_values.{i}.{part}" for i in range(CONFIG.layers) for part in ("key", "value")]
    return {name: np.zeros(shape, np.float32) for name in names}


def past_from(outputs):
    return {
        f"past_key_values.{i}.{part}": outputs[1 + 2 * i + n]
        for i in range(CONFIG.layers)
        for n, part in enumerate(("key", "value"))
    }


def sequence(batch=1, text=7, rows=4, cols=3):
    """Random ids with the M-RoPE positions of a picture in the middle; [batch, T], [3, batch, T]"""
    ids = np.random.default_rng(0).integers(10, 300, (batch, 3 + rows * cols + text))
    where = torch.cat((
        torch.arange(3).expand(3, -1), visual_positions(rows, cols, 3),
        (after_image(rows, cols, 3) + torch.arange(text)).expand(3, -1),
    ), dim=1)  # fmt: skip
    return ids, where[:, None].expand(3, batch, -1).contiguous().numpy()


def test_decoder_logits_equal_transformers(reference, sessions):
    ids, where = sequence(batch=2)
    with torch.no_grad():
        want = reference(input_ids=torch.from_numpy(ids), position_ids=torch.from_numpy(where)).logits.numpy()
    got = sessions["decoder"].run(None, feed(sessions, ids, where, empty_past(2), ids.shape[1]))
    assert np.abs(got[0] - want).max() < 1e-4
    last = sessions["decoder"].run(None, feed(sessions, ids, where, empty_past(2), ids.shape[1], keep=1))
    assert last[0].shape[1] == 1 and np.abs(last[0] - want[:, -1:]).max() < 1e-4


def test_prefill_and_steps_equal_one_pass(sessions):
    ids, where = sequence()
    total, split = ids.shape[1], 16
    run = sessions["decoder"].run
    want = run(None, feed(sessions, ids, where, empty_past(1), total))[0]
    out = run(None, feed(sessions, ids[:, :split], where[:, :, :split], empty_past(1), split))
    for t in range(split, total):
        out = run(None, feed(sessions, ids[:, t : t + 1], where[:, :, t : t + 1], past_from(out), t + 1))
        assert np.abs(out[0][:, 0] - want[:, t]).max() < 1e-4


def test_one_buffer_for_past_and_present(sessions):
    """Three rollouts in preallocated buffers, appended in place: the same logits bit for bit."""
    batch, room = 3, 40
    ids, where = sequence(batch)
    total, split = ids.shape[1], 18
    session = sessions["decoder"]
    buffers = {k: ort.OrtValue.ortvalue_from_numpy(v) for k, v in empty_past(batch, room).items()}

    def step(begin, end):
        binding = session.io_binding()
        for name, value in feed(sessions, ids[:, begin:end], where[:, :, begin:end], {}, end).items():
            binding.bind_cpu_input(name, np.array(value))
        for name, value in buffers.items():
            binding.bind_ortvalue_input(name, value)
            binding.bind_ortvalue_output(name.replace("past_key_values", "present"), value)
        binding.bind_output("logits")
        session.run_with_iobinding(binding)
        return binding.get_outputs()[-1].numpy()

    got = step(0, split)
    out = session.run(None, feed(sessions, ids[:, :split], where[:, :, :split], empty_past(batch), split))
    assert np.array_equal(got, out[0])
    for t in range(split, total):
        out = session.run(None, feed(sessions, ids[:, t : t + 1], where[:, :, t : t + 1], past_from(out), t + 1))
        assert np.array_equal(step(t, t + 1), out[0])


def test_patchify_is_the_image_processor(tmp_path):
    from PIL import Image
    from transformers import Qwen2VLImageProcessor

    pixels = picture(6, 9)
    processor = Qwen2VLImageProcessor(min_pixels=140 * 140, max_pixels=448 * 448)
    got = processor(Image.fromarray(pixels[0].numpy()), return_tensors="pt")
    assert got["image_grid_thw"].tolist() == [[1, 12, 18]]
    ours = patchify(pixels)[0].view(-1, 3, 1, 14, 14).expand(-1, 3, 2, 14, 14).reshape(-1, 1176)
    assert (got["pixel_values"] - ours).abs().max() < 1e-5
