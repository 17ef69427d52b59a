"""The difficulty predictor in onnxruntime against PyTorch, and the choice of the policy's bins.

    python -m pytest training/tests/test_predictor.py
"""

import numpy as np
import onnxruntime as ort
import pytest
import torch

from training.predictor import Predictor, auroc, choose_bins, export_predictor


@pytest.mark.parametrize("question", [False, True])
def test_exported_predictor(question, tmp_path):
    torch.manual_seed(0)
    net = Predictor(24, torch.randn(24), torch.rand(24) + 0.5, question).eval()
    path = tmp_path / "difficulty_predictor.onnx"
    export_predictor(net, torch.tensor(0.3), path)
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    for count in (9, 64):
        features, asked = torch.randn(count, 24), torch.randn(24)
        feed = {"image_features": features.numpy()} | ({"question_embedding": asked.numpy()} if question else {})
        got = session.run(None, feed)[0]
        want = net(features[None], asked[None] / 0.3).sigmoid().detach().numpy()
        assert got.shape == (1,) and np.abs(got - want).max() < 1e-5


def test_auroc_by_hand():
    assert auroc(np.array([0.1, 0.4, 0.35, 0.8]), np.array([False, False, True, True])) == 0.75


def test_bins_spend_where_votes_help():
    """Items of low solvability gain from a vote of 7, the others are right at once."""
    rng = np.random.default_rng(0)
    score = rng.random(600)
    rows = [
        {
            "features": np.zeros((60, 1)), "kept": 20, "prompt": 20, "tokens": 20, "want": "a", "greedy": s > 0.3,
            "answers": ["a" if s > 0.3 or (0.1 < s and k > 1) else "b" for k in range(8)],
        }
        for s in score
    ]  # fmt: skip
    bins, evidence = choose_bins(rows, score)
    k_at = lambda s: next(b["k"] for b in bins if s <= b["upTo"])
    assert bins[-1]["upTo"] == 1 and [b["upTo"] for b in bins] == sorted(b["upTo"] for b in bins)
    assert k_at(0.02) == 1 and k_at(0.2) > 1 and k_at(0.9) == 1
    assert evidence["policy"]["accuracy"] > evidence["fixed"]["1"]["accuracy"]
