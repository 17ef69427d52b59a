"""The difficulty predictor, the rollout policy and the familiarity score of the embedded model.

    python -m training.predictor sample --items 4000     # solvability of calibration items: 8 rollouts each
    python -m training.predictor fit                     # trains, chooses bins, writes media/model/avis

sample: calibration scenes -> features, question embeddings, 8 sampled answers and the greedy one per
item, with adaptive KDV as the policy has it (training/.cache/solvability.pt).
fit: Conv1d -> GroupNorm -> SiLU stack over the visual tokens, average pooling, two-layer MLP on the pooled
features and the mean question embedding -> solvability. Bins come from out-of-fold predictions.
"""

import argparse
import itertools
import json
import math
import multiprocessing
import time
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

from training.data import fixed_examples
from training.evaluate import Bench, adaptive_keep, answer_in
from training.export import FLOAT, Graph
from training.photographs import crops
from training.render import render
from training.tokenizer import DIRECT_SUFFIX, MODEL_DIR, THINK_SUFFIX, load, write_json
from training.train import load_checkpoint
from training.world import rng_for, sample_scene

CACHE = Path(__file__).parent / ".cache" / "solvability.pt"
ROLLOUTS, TEMPERATURE, TOP_P = 8, 0.7, 0.9
PER_IMAGE = 3
CHANNELS, GROUPS = 64, 8
FOLDS, EPOCHS = 4, 5
K_SHAPE = (1, 7, 5, 3, 1)  # rollouts by rising solvability: an inverted U with its top at hard but solvable
MAX_COST = 0.45  # mean normalised cost that the policy may reach


def sample(items, tau_degrees, rollouts=ROLLOUTS):
    """Measures solvability on the calibration split, 300 items at a time; goes on where it stopped."""
    model, tokenizer = load_checkpoint(), load()
    rows = torch.load(CACHE, weights_only=False) if CACHE.exists() else []
    start = time.time()
    while len(rows) < items:
        bench = Bench(model, *fixed_examples("calibration", 300, PER_IMAGE, tokenizer, start=len(rows) // PER_IMAGE))
        keep = lambda s, f: adaptive_keep(s, tau_degrees)
        greedy = bench.answers(keep)
        sampled = bench.answers(keep, rollouts, TEMPERATURE, TOP_P)
        for example, once, many in zip(bench.examples, greedy, sampled):
            question, key = example.question, id(example.scene)
            ids = bench.tokenizer.encode(question.text).ids
            rows.append({
                "features": bench.features[key].half(),
                "question": model.embeddings[ids].mean(0),
                "kept": len(keep(bench.scores[key], None)),
                "prompt": len(example.prompt),
                "task": question.task,
                "hard": question.hard,
                "greedy": answer_in(once[0]) == question.answer,
                "answers": [answer_in(t) for t in many],
                "want": question.answer,
                "tokens": len(bench.tokenizer.encode(once[0]).ids) + 1,
            })
        CACHE.parent.mkdir(exist_ok=True)
        torch.save(rows, CACHE)
        right = np.mean([np.mean([a == r["want"] for a in r["answers"]]) for r in rows])
        print(f"{len(rows)} items, solvability {right:.3f}, {time.time() - start:.0f} s", flush=True)


class Predictor(nn.Module):
    """Solvability logit from visual tokens and, unless `question` is False, the question's embedding."""

    def __init__(self, hidden, mean, spread, question):
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("spread", spread)
        self.convolutions = nn.ModuleList(
            [nn.Conv1d(hidden if i == 0 else CHANNELS, CHANNELS, 3, padding=1) for i in range(3)]
        )
        self.norms = nn.ModuleList([nn.GroupNorm(GROUPS, CHANNELS) for _ in range(3)])
        self.question = question
        self.inner = nn.Linear(CHANNELS + (hidden if question else 0), CHANNELS)
        self.outer = nn.Linear(CHANNELS, 1)

    def forward(self, features, question):
        """features [B, N, hidden], question [B, hidden] (of unit scale) -> logits [B]"""
        x = ((features - self.mean) / self.spread).transpose(1, 2)
        for convolution, norm in zip(self.convolutions, self.norms):
            x = F.silu(norm(convolution(x)))
        x = x.mean(2)
        if self.question:
            x = torch.cat((x, question), dim=1)
        return self.outer(F.silu(self.inner(F.dropout(x, 0.2, self.training))))[:, 0]


def batches(rows, indices, size, shuffle):
    """Indices in batches of one number of visual tokens."""
    buckets = defaultdict(list)
    for i in indices:
        buckets[len(rows[i]["features"])].append(i)
    made = []
    for bucket in buckets.values():
        if shuffle:
            np.random.shuffle(bucket)
        made += [bucket[at : at + size] for at in range(0, len(bucket), size)]
    if shuffle:
        np.random.shuffle(made)
    return made


def inputs(rows, batch, scale):
    features = torch.stack([rows[i]["features"].float() for i in batch])
    return features, torch.stack([rows[i]["question"] for i in batch]) / scale


def fit_one(rows, labels, train, statistics, question):
    mean, spread, scale = statistics
    torch.manual_seed(0)
    np.random.seed(0)
    net = Predictor(len(mean), mean, spread, question)
    opt = torch.optim.AdamW(net.parameters(), lr=2e-3, weight_decay=0.05)
    for epoch in range(EPOCHS):
        opt.param_groups[0]["lr"] = 2e-3 * 0.5 * (1 + math.cos(math.pi * epoch / EPOCHS))
        for batch in batches(rows, train, 32, True):
            loss = F.binary_cross_entropy_with_logits(net(*inputs(rows, batch, scale)), labels[batch])
            opt.zero_grad()
            loss.backward()
            opt.step()
    return net.eval()


@torch.no_grad()
def predict(net, rows, indices, scale):
    out = torch.zeros(len(rows))
    for batch in batches(rows, indices, 256, False):
        out[batch] = net(*inputs(rows, batch, scale)).sigmoid()
    return out


FOLD_INPUTS = []  # rows, labels, fold of each row, statistics: forked processes read them here


def score_fold(question, fold):
    """Predictions for the rows of a fold by a net fitted to the others, zeros elsewhere. [rows]"""
    rows, labels, folds, statistics = FOLD_INPUTS
    test = folds == fold
    net = fit_one(rows, labels, np.flatnonzero(~test), statistics, question)
    return predict(net, rows, np.flatnonzero(test), statistics[2]).numpy()


def auroc(score, positive):
    order = np.argsort(np.argsort(score)) + 1
    n = positive.sum()
    if n in (0, len(positive)):
        return float("nan")
    return float((order[positive].sum() - n * (n + 1) / 2) / (n * (len(positive) - n)))


def auroc_within_task(score, positive, tasks):
    """Mean over tasks, weighted by items."""
    values = [(auroc(score[tasks == t], positive[tasks == t]), (tasks == t).sum()) for t in sorted(set(tasks))]
    values = [(v, n) for v, n in values if not math.isnan(v)]
    return float(sum(v * n for v, n in values) / sum(n for _, n in values))


def voted(row, k):
    return Counter(row["answers"][:k]).most_common(1)[0][0] == row["want"]


def normalised_cost(row, k):
    """(prefill of the kept tokens + k * decode) / (prefill of all + decode), counting tokens: at this
    scale a token costs about the same in both."""
    full = len(row["features"]) + row["prompt"] + 14
    return (full - len(row["features"]) + row["kept"] + k * row["tokens"]) / (full + row["tokens"])


def choose_bins(rows, score, quantiles=16):
    """Edges (quantiles of the score) of the inverted U of highest accuracy whose mean normalised cost stays
    within MAX_COST: the price of a unit of cost falls until the policy would cost more. -> (bins, evidence)"""
    ks = sorted(set(K_SHAPE))
    edges = np.quantile(score, np.linspace(0, 1, quantiles + 1))[1:-1]
    at = np.digitize(score, edges)
    right = {k: np.array([row["greedy"] if k == 1 else voted(row, k) for row in rows], float) for k in ks}
    cost = {k: np.array([normalised_cost(row, k) for row in rows]) for k in ks}
    def best_cut(price):
        gain = {k: np.bincount(at, right[k] - price * cost[k], quantiles) for k in ks}
        running = {k: np.concatenate(([0], np.cumsum(gain[k]))) for k in ks}
        worth = lambda cut: sum(running[k][b] - running[k][a] for k, a, b in parts(cut))
        return max(itertools.combinations_with_replacement(range(quantiles + 1), len(K_SHAPE) - 1), key=worth)

    parts = lambda cut: zip(K_SHAPE, (0, *cut), (*cut, quantiles))
    in_part = lambda a, b: (at >= a) & (at < b)
    mean_cost = lambda cut: sum(cost[k][in_part(a, b)].sum() for k, a, b in parts(cut)) / len(rows)
    best = best_cut(1.0)
    for price in (0.1, 0.05, 0.03, 0.02, 0.015, 0.01, 0.007, 0.005, 0.003):
        cut = best_cut(price)
        if mean_cost(cut) > MAX_COST:
            break
        best = cut
    bins = []
    for k, a, b in parts(best):
        if b > a:
            up_to = 1.0 if b == quantiles else round(float(edges[b - 1]), 4)
            if bins and bins[-1]["k"] == k:
                bins[-1]["upTo"] = up_to
            else:
                bins.append({"upTo": up_to, "k": k})
    chosen = np.array([next(b["k"] for b in bins if s <= b["upTo"]) for s in score])
    evidence = {
        "policy": {
            "accuracy": float(np.mean([right[k][i] for i, k in enumerate(chosen)])),
            "normalisedCost": float(np.mean([cost[k][i] for i, k in enumerate(chosen)])),
            "rollouts": {str(k): int((chosen == k).sum()) for k in ks},
        },
        "fixed": {str(k): {"accuracy": float(right[k].mean()), "normalisedCost": float(cost[k].mean())} for k in ks},
        "byPredictedTenth": [
            {
                "meanPrediction": float(score[part].mean()),
                **{f"k{k}": float(right[k][part].mean()) for k in ks},
            }
            for part in np.array_split(np.argsort(score), 10)
        ],
    }
    return bins, evidence


def export_predictor(net, scale, path):
    """difficulty_predictor.onnx: image_features [N, hidden] (, question_embedding [hidden]) -> solvability [1]"""
    g = Graph("difficulty_predictor")
    hidden = len(net.mean)
    g.input("image_features", FLOAT, ["visual_tokens", hidden])
    value = lambda t: g.number(t.detach().numpy())
    x = g.op("Div", g.op("Sub", "image_features", value(net.mean)), value(net.spread))
    x = g.op("Unsqueeze", g.op("Transpose", x, perm=[1, 0]), g.constant([0]))  # [1, hidden, N]
    for convolution, norm in zip(net.convolutions, net.norms):
        x = g.op("Conv", x, value(convolution.weight), value(convolution.bias), pads=[1, 1])
        y = g.op("InstanceNormalization", g.reshape(x, [1, GROUPS, -1]), g.number(np.ones(GROUPS)), g.number(np.zeros(GROUPS)), epsilon=norm.eps)  # fmt: skip
        y = g.reshape(y, [1, CHANNELS, -1])
        y = g.op("Add", g.op("Mul", y, value(norm.weight[:, None])), value(norm.bias[:, None]))
        x = g.op("Mul", y, g.op("Sigmoid", y))
    x = g.op("ReduceMean", x, axes=[2], keepdims=0)  # [1, channels]
    if net.question:
        g.input("question_embedding", FLOAT, [hidden])
        asked = g.op("Div", "question_embedding", g.number(float(scale)))
        x = g.op("Concat", x, g.op("Unsqueeze", asked, g.constant([0])), axis=1)
    x = g.op("Gemm", x, value(net.inner.weight), value(net.inner.bias), transB=1)
    x = g.op("Mul", x, g.op("Sigmoid", x))
    x = g.op("Gemm", x, value(net.outer.weight), value(net.outer.bias), transB=1)
    g.op("Sigmoid", g.reshape(x, [1]), to="solvability")
    g.output("solvability", FLOAT, [1])
    g.save(path)


def pictures_of(split, count):
    for index in range(count):
        rng = rng_for(split, index)
        scene = sample_scene(rng, split, rng.random())
        yield render(scene, rng)


@torch.no_grad()
def pooled_features(model, pictures):
    """Mean-pooled visual features of uint8 pictures [H, W, 3], [count, hidden]."""
    return torch.stack([model.model.visual(torch.from_numpy(p[None]))[0][0].mean(0) for p in pictures])


def familiarity(model, pictures=1500):
    """How far a picture is from what the model knows: sqrt(mean(((x - mean) / spread)^2)) of its
    mean-pooled visual features x; above the threshold it is flagged."""
    train = pooled_features(model, pictures_of("train", pictures))
    heldout = pooled_features(model, pictures_of("heldout", pictures // 2))
    photographs = pooled_features(model, (np.asarray(p) for p in crops(150)))
    mean, spread = train.mean(0), train.std(0) + 1e-6
    distance = lambda x: ((x - mean) / spread).pow(2).mean(1).sqrt()
    threshold = float(distance(heldout).quantile(0.985))
    return {
        "formula": "distance = sqrt(mean(((x - mean) / spread)^2)), x = mean over the visual tokens of image_features; unfamiliar if distance > threshold",
        "mean": [round(v, 6) for v in mean.tolist()],
        "spread": [round(v, 6) for v in spread.tolist()],
        "threshold": round(threshold, 4),
        "heldoutFlaggedShare": round(float((distance(heldout) > threshold).float().mean()), 4),
        "photographsFlaggedShare": round(float((distance(photographs) > threshold).float().mean()), 4),
    }


def fit(tau, tau_note):
    rows = torch.load(CACHE, weights_only=False)
    labels = torch.tensor([np.mean([a == r["want"] for a in r["answers"]]) for r in rows]).float()
    tasks = np.array([r["task"] for r in rows])
    tokens = torch.cat([r["features"].float() for r in rows[::PER_IMAGE]])
    scale = torch.stack([r["question"] for r in rows]).std()
    statistics = (tokens.mean(0), tokens.std(0) + 1e-6, scale)
    scenes = np.arange(len(rows)) // PER_IMAGE  # questions about one picture stay in one fold
    positive = (labels > labels.median() if labels.median() < 1 else labels >= 1).numpy()
    figures, scores = {}, {}
    jobs = [(question, fold) for question in (False, True) for fold in range(FOLDS)]
    FOLD_INPUTS[:] = rows, labels, scenes % FOLDS, statistics
    with multiprocessing.get_context("fork").Pool(2, torch.set_num_threads, (1,)) as pool:
        parts = dict(zip(jobs, pool.starmap(score_fold, jobs, chunksize=1)))
    for question in (False, True):
        score = scores[question] = sum(parts[question, fold] for fold in range(FOLDS))
        figures[question] = {
            "auroc": round(auroc(score, positive), 4),
            "aurocWithinTask": round(auroc_within_task(score, positive, tasks), 4),
        }
        print("with the question" if question else "image only", figures[question])
    best = max(figures, key=lambda q: figures[q]["auroc"])
    net = fit_one(rows, labels, np.arange(len(rows)), statistics, best)
    folder = MODEL_DIR / "avis"
    export_predictor(net, scale, folder / "difficulty_predictor.onnx")
    bins, evidence = choose_bins(rows, scores[best])
    known = familiarity(load_checkpoint())
    task_mean = {t: float(labels[torch.from_numpy(tasks == t)].mean()) for t in sorted(set(tasks))}
    write_json(folder / "policy.json", {
        "schemaVersion": 1,
        "name": "AVIS Mini",
        "tau": {"degrees": tau, "calibrated": tau != 45, "note": tau_note},
        "tauPaperDegrees": 45,
        "bins": bins,
        "sampling": {"temperature": TEMPERATURE, "topP": TOP_P},
        "prompt": {"think": THINK_SUFFIX, "direct": DIRECT_SUFFIX},
        "maxNewTokens": 192,
        "predictor": {
            "inputs": ["image_features"] + ["question_embedding"] * best,
            "questionEmbedding": "mean of the embeddings of the question's tokens, without the suffix" if best else None,
            "items": len(rows),
            **figures[best],
            "imageOnly": figures[False],
            "withQuestion": figures[True],
            "taskMeanAlone": round(auroc(np.array([task_mean[t] for t in tasks]), positive), 4),
        },
        "familiarity": known,
        "evidence": evidence | {
            "rolloutsPerItem": ROLLOUTS,
            "solvabilityHistogram": np.bincount((labels * ROLLOUTS).round().long().numpy(), minlength=ROLLOUTS + 1).tolist(),
            "solvabilityByTask": {t: round(v, 4) for t, v in task_mean.items()},
            "maxNormalisedCost": MAX_COST,
        },
    })
    print(json.dumps({"bins": bins, "policy": evidence["policy"], "fixed": evidence["fixed"]}))
    print({k: v for k, v in known.items() if k not in ("mean", "spread")})


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["sample", "fit"])
    parser.add_argument("--items", type=int, default=4000)
    parser.add_argument("--tau", type=float, default=45.0)
    parser.add_argument("--tau-note", default="the paper's threshold")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    sample(args.items, args.tau) if args.what == "sample" else fit(args.tau, args.tau_note)
