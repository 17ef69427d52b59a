"""The training model against transformers' Qwen2_5_VLForConditionalGeneration.

    python -m pytest training/tests/test_model.py
"""

import pytest
import torch
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

from training.layers import Config
from training.model import AvisModel, after_image, visual_positions
from training.vision import kdv_scores

IDS = {
    "<|image_pad|>": 5,
    "<|video_pad|>": 6,
    "<|vision_start|>": 3,
    "<|vision_end|>": 4,
    "<|endoftext|>": 0,
    "<|im_end|>": 2,
}


@pytest.fixture(scope="module")
def models():
    torch.manual_seed(0)
    config = Config(vocab_size=300)
    ours = AvisModel(config).eval()
    with torch.no_grad():  # larger than at the start of training, so that every part matters
        for name, p in ours.named_parameters():
            p.add_(torch.randn_like(p) * (0.3 if p.dim() == 1 else 0.02))
    theirs = Qwen2_5_VLForConditionalGeneration(
        Qwen2_5_VLConfig(**config.to_transformers(IDS))
    ).eval()
    state = {k: v for k, v in ours.state_dict().items()}
    state["lm_head.weight"] = state["model.language_model.embed_tokens.weight"]
    theirs.load_state_dict(state, strict=True)
    return ours, theirs


def hf_patches(pixels):
    from training.vision import patchify

    x = patchify(pixels).flatten(0, 1).view(-1, 3, 1, 14, 14)
    return x.expand(-1, 3, 2, 14, 14).reshape(-1, 1176)


@pytest.mark.parametrize("rows,cols", [(4, 4), (5, 9), (11, 3), (8, 8)])
def test_vision_tower(models, rows, cols):
    ours, theirs = models
    pixels = torch.randint(0, 256, (2, rows * 28, cols * 28, 3), dtype=torch.uint8)
    grid = torch.tensor([[1, rows * 2, cols * 2]] * 2)
    with torch.no_grad():
        got, _ = ours.model.visual(pixels)
        want = theirs.model.visual(hf_patches(pixels), grid).pooler_output
    assert (got.flatten(0, 1) - want).abs().max() < 1e-4


def test_logits_of_two_questions_behind_one_picture(models):
    ours, theirs = models
    rows, cols = 6, 4
    pixels = torch.randint(0, 256, (2, rows * 28, cols * 28, 3), dtype=torch.uint8)
    start = [1, 7, 8, 3]
    end = [4]
    questions = [[[20, 21, 22], [30, 31]], [[40, 41, 42, 43], [50]]]
    n = rows * cols
    with torch.no_grad():
        features, _ = ours.model.visual(pixels)
        embed = ours.model.language_model.embed_tokens
        edge = lambda ids: embed(torch.tensor(ids))[None].expand(2, -1, -1)
        prefix = torch.cat((edge(start), features, edge(end)), dim=1)
        after = after_image(rows, cols, len(start))
        positions = torch.cat(
            (
                torch.arange(len(start)).expand(3, -1),
                visual_positions(rows, cols, len(start)),
                torch.full((3, 1), after),
            ),
            dim=1,
        )
        flat, where, groups = [], [], []
        for column in zip(*questions):
            width, slots = max(len(q) for q in column), []
            for i, q in enumerate(column):
                flat += q
                where += [after + 1 + t for t in range(len(q))]
                slots += [i * width + t for t in range(len(q))]
            groups.append((torch.tensor(slots), width))
        hidden, _, _ = ours.model.language_model(
            prefix,
            positions[:, None].expand(3, 2, -1),
            embed(torch.tensor(flat)),
            torch.tensor(where).expand(3, -1),
            groups,
        )
        got = ours.logits(hidden)
        at = 0
        for column in zip(*questions):
            for i, q in enumerate(column):
                ids = torch.tensor([start + [5] * n + end + q])
                want = theirs(
                    input_ids=ids,
                    pixel_values=hf_patches(pixels[i : i + 1]),
                    image_grid_thw=torch.tensor([[1, rows * 2, cols * 2]]),
                    mm_token_type_ids=(ids == 5).int(),
                ).logits[0, -len(q) :]
                assert (got[at : at + len(q)] - want).abs().max() < 1e-4
                at += len(q)


def test_kdv_scores_by_hand():
    keys = torch.tensor([[[[1.0, 0.0], [0.0, 2.0], [1.0, 1.0]]]])
    unit = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.5**0.5, 0.5**0.5]])
    anchor = unit.mean(0)
    want = -(unit @ anchor) / anchor.norm()
    assert torch.allclose(kdv_scores(keys)[0], want, atol=1e-6)
