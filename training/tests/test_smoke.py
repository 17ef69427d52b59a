"""The whole recipe in small: tokenizer, twenty steps of every stage's loss, export, the same words from
PyTorch and from onnxruntime.

    python -m pytest training/tests/test_smoke.py
"""

import numpy as np
import onnxruntime as ort
import pytest
import torch
from transformers import AutoTokenizer

from training import data
from training.data import fixed_examples, prefix_ids
from training.export import export
from training.generate import generate
from training.layers import Config
from training.model import AvisModel, after_image, visual_positions
from training.render import render
from training.tests.test_model import hf_patches
from training.tokenizer import load
from training.train import STAGES, Trainer, optimizers
from training.world import TOKEN_PX, rng_for, sample_scene

CONFIG = Config(hidden=64, layers=3, heads=2, kv_heads=1, intermediate=128, vision_hidden=64, vision_heads=2, vision_depth=2, vision_intermediate=128)  # fmt: skip


def batch_of(tokenizer, index, draw):
    """Four pictures of one grid from seed `index` on."""
    import random

    found, grid = [], None
    while len(found) < 4:
        rng = rng_for("train", index)
        index += 1
        scene = sample_scene(rng, "train", 0.0, "shapes")
        if grid in (None, (scene.height, scene.width)):
            grid = scene.height, scene.width
            found.append((scene, rng))
    return data.make_batch(found, tokenizer, 3, random.Random(0), draw, index)


@pytest.fixture(scope="module")
def trained():
    torch.manual_seed(0)
    tokenizer = load()
    model = AvisModel(CONFIG)
    trainer = Trainer(model, tokenizer)
    falls = {}
    for stage in STAGES[:3]:  # one of each kind
        opts = optimizers(model, stage)
        for opt in opts:
            opt.param_groups[0]["lr"] *= 0.3
        batch = batch_of(tokenizer, 0, draw=stage.name != "symbolic")
        losses = []
        for _ in range(20):
            torch.manual_seed(1)
            loss, _ = trainer.loss(batch, stage.name)
            loss.backward()
            for opt in opts:
                opt.step()
                opt.zero_grad()
            losses.append(loss.item())
        falls[stage.name] = losses[0], losses[-1]
    return model.eval().requires_grad_(False), tokenizer, falls


def test_every_stage_learns(trained):
    for name, (first, last) in trained[2].items():
        assert last < 0.8 * first, name


def test_same_words_from_onnxruntime(trained, tmp_path):
    model, tokenizer, _ = trained
    for p in model.parameters():
        p.copy_(p.half().float())  # fp16 is what is stored
    export(model, tmp_path)
    assert AutoTokenizer.from_pretrained(tmp_path).encode("How many?") == tokenizer.encode("How many?").ids
    session = {
        name: ort.InferenceSession(str(tmp_path / "onnx" / f"{name}.onnx"), providers=["CPUExecutionProvider"])
        for name in ("vision_encoder", "embed_tokens", "decoder_model_merged")
    }
    examples, generators = fixed_examples("heldout", 2, 2, tokenizer)
    scene = examples[0].scene
    pixels = torch.from_numpy(render(scene, generators[id(scene)])[None])
    rows, cols = scene.height // TOKEN_PX, scene.width // TOKEN_PX
    before, after_ids = prefix_ids(tokenizer)
    after = after_image(rows, cols, len(before))

    features, _ = model.model.visual(pixels)
    prefix = torch.cat((model.embeddings[before][None], features, model.embeddings[after_ids][None]), 1)
    where = torch.cat(
        (torch.arange(len(before)).expand(3, -1), visual_positions(rows, cols, len(before)), torch.full((3, 1), after)), 1
    )
    prompts = [e.prompt for e in examples]
    both = lambda x: torch.cat((x, x))
    # Padding behind the prefix must not show.
    padded = torch.nn.functional.pad(both(prefix), (0, 0, 0, 3))
    spread = torch.nn.functional.pad(where, (0, 3))[:, None].expand(-1, 2, -1)
    lengths, starts = torch.tensor([prefix.shape[1]] * 2), torch.tensor([after + 1] * 2)
    want = generate(model, padded, lengths, spread, starts, prompts, limit=24)

    grid = np.array([[1, rows * 2, cols * 2]], np.int64)
    image, _ = session["vision_encoder"].run(None, {"pixel_values": hf_patches(pixels).numpy(), "image_grid_thw": grid})
    embed = lambda ids: session["embed_tokens"].run(None, {"input_ids": np.array([ids], np.int64)})[0]
    for prompt, words in zip(prompts, want):
        x = np.concatenate((embed(before), image[None], embed(after_ids + prompt)), 1)
        text = after + 1 + np.arange(len(prompt))
        position = np.concatenate((where.numpy(), np.tile(text, (3, 1))), 1)[:, None]
        past = {
            f"past_key_values.{i}.{part}": np.zeros((1, CONFIG.kv_heads, 0, CONFIG.head_dim), np.float32)
            for i in range(CONFIG.layers)
            for part in ("key", "value")
        }
        said, total = [], 0
        for step in range(24):
            total += x.shape[1]
            out = session["decoder_model_merged"].run(None, {
                "inputs_embeds": x, "attention_mask": np.ones((1, total), np.int64),
                "position_ids": position.astype(np.int64), "num_logits_to_keep": np.array(1, np.int64), **past,
            })  # fmt: skip
            token = int(out[0][0, -1].argmax())
            if token == tokenizer.token_to_id("<|im_end|>"):
                break
            said.append(token)
            past = dict(zip(past, out[1:]))
            x, position = embed([token]), np.full((3, 1, 1), text[-1] + 1 + step)
        assert said == words
