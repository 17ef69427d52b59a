"""Measures a checkpoint on questions that training never saw.

    python -m training.evaluate --items 400                    # accuracy by task, and under pruning
    python -m training.evaluate --items 400 --symbolic         # the language model alone, without pictures
    python -m training.evaluate --items 400 --rollouts 8       # solvability histogram, vote, pass@8
    python -m training.evaluate --split newstyle               # a pictogram style that training never saw
"""

import argparse
import json
import math
import re
import time
from collections import Counter, defaultdict

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence

from training.data import fixed_examples, prefix_ids
from training.generate import generate
from training.layers import TOKEN_PX
from training.model import after_image, visual_positions
from training.vision import kdv_scores
from training.tokenizer import load
from training.render import render
from training.train import RUN_DIR, Trainer, load_checkpoint
from training.world import token_words

PER_IMAGE = 4
ROWS = 384  # rollouts decoded together


def answer_in(text):
    found = re.search(r"<answer>(.*?)(</answer>|$)", text)
    return found.group(1).strip() if found else ""


def adaptive_keep(scores, tau_degrees=45.0):
    """Adaptive KDV of one picture: scores [N] -> indices kept, in order (at least one)."""
    rho = (scores < -math.cos(math.radians(tau_degrees))).double().mean().item()
    n = max(1, int(len(scores) * (1 - rho)))
    return scores.topk(n).indices.sort().values


def keep_by(pruner, rho, scores, features, generator):
    """Indices of the visual tokens of one picture that stay. scores [N], features [N, hidden]."""
    total = len(scores)
    n = max(1, int(total * (1 - rho)))
    if pruner == "kdv":
        order = scores
    elif pruner == "random":
        order = torch.rand(total, generator=generator)
    elif pruner == "uniform":
        return torch.linspace(0, total - 1, n).round().long()
    elif pruner == "norm":
        order = features.norm(dim=-1)
    return order.topk(n).indices.sort().values


class Bench:
    """Questions with the visual features of their pictures, for one checkpoint; examples and generators
    as from data.fixed_examples."""

    def __init__(self, model, examples, generators, symbolic=False):
        self.model, self.tokenizer = model, load()
        self.trainer = Trainer(model, self.tokenizer)
        self.before, self.after = prefix_ids(self.tokenizer)
        self.examples = examples
        self.by_scene = defaultdict(list)
        for i, example in enumerate(self.examples):
            self.by_scene[id(example.scene)].append(i)
        self.scenes = {id(e.scene): e.scene for e in self.examples}
        self.features, self.scores = {}, {}
        groups = defaultdict(list)
        for key, scene in self.scenes.items():
            groups[scene.height, scene.width].append(key)
        with torch.no_grad():
            for keys in groups.values():
                for at in range(0, len(keys), 16):
                    self._see(keys[at : at + 16], generators, symbolic)

    def _see(self, keys, generators, symbolic):
        if symbolic:
            table, pad = self.model.embeddings, self.trainer.empty_id
            for key in keys:
                words = token_words(self.scenes[key])
                ids = [[pad] + [self.tokenizer.token_to_id(w.replace(" ", "Ġ")) for w in w_] for w_ in words]
                self.features[key] = torch.stack([table[i].sum(0) for i in ids])
                self.scores[key] = torch.tensor([float(len(w)) for w in words])
            return
        pixels = np.stack([render(self.scenes[key], generators[key]) for key in keys])
        features, visual_keys = self.model.model.visual(torch.from_numpy(pixels))
        for key, f, s in zip(keys, features, kdv_scores(visual_keys)):
            self.features[key], self.scores[key] = f, s

    def answers(self, choose=None, rollouts=1, temperature=0.0, top_p=0.9, limit=140):
        """Texts said, `rollouts` for each example: list of lists. choose(scores, features) -> indices
        of the visual tokens kept, or None for all."""
        embed, start = self.model.embeddings, len(self.before)
        prefixes, positions, afters = {}, {}, {}
        for key, scene in self.scenes.items():
            rows, cols = scene.height // TOKEN_PX, scene.width // TOKEN_PX
            features, where = self.features[key], visual_positions(rows, cols, start)
            if choose:
                kept = choose(self.scores[key], features)
                features, where = features[kept], where[:, kept]
            after = after_image(rows, cols, start)
            prefixes[key] = torch.cat((embed[self.before], features, embed[self.after]))
            positions[key] = torch.cat((torch.arange(start).expand(3, -1), where, torch.full((3, 1), after)), 1)
            afters[key] = after + 1
        said = [[]] * len(self.examples)
        scene_of = {i: key for key, members in self.by_scene.items() for i in members}
        order = sorted(scene_of, key=lambda i: len(prefixes[scene_of[i]]))  # so that little is padded
        size = max(1, ROWS // rollouts)
        for at in range(0, len(order), size):
            part = order[at : at + size]
            keys = [scene_of[i] for i in part]
            out = generate(
                self.model,
                pad_sequence([prefixes[k] for k in keys], batch_first=True),
                torch.tensor([len(prefixes[k]) for k in keys]),
                pad_sequence([positions[k].T for k in keys], batch_first=True).permute(2, 0, 1),
                torch.tensor([afters[k] for k in keys]),
                [self.examples[i].prompt for i in part],
                rollouts, temperature, top_p, limit,
            )  # fmt: skip
            for n, i in enumerate(part):
                texts = out[n * rollouts : (n + 1) * rollouts]
                said[i] = [self.tokenizer.decode(ids, skip_special_tokens=False) for ids in texts]
        return said

    def right(self, said):
        """bool [items, rollouts]"""
        return np.array([[answer_in(t) == e.question.answer for t in texts] for texts, e in zip(said, self.examples)])

    def by_task(self, right):
        """Task -> (accuracy, items). right: [items] of 0..1"""
        table = defaultdict(list)
        for value, example in zip(right, self.examples):
            table[example.question.task].append(float(value))
        return {task: (sum(v) / len(v), len(v)) for task, v in sorted(table.items())}


def vote(texts):
    """Majority of the answers; a tie goes to the one said first."""
    return Counter(answer_in(t) for t in texts).most_common(1)[0][0]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--items", type=int, default=400)
    parser.add_argument("--split", default="heldout")
    parser.add_argument("--rollouts", type=int, default=0)
    parser.add_argument("--symbolic", action="store_true")
    parser.add_argument("--pruning", action="store_true")
    parser.add_argument("--live", action="store_true", help="the running training's averaged weights")
    parser.add_argument("--show", type=int, default=0, help="print this many wrong answers")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    start = time.time()
    model = load_checkpoint(RUN_DIR) if args.live else load_checkpoint()
    bench = Bench(model, *fixed_examples(args.split, args.items, PER_IMAGE, load()), args.symbolic)
    said = bench.answers()
    right = bench.right(said)[:, 0]
    print(f"{args.split} {len(right)} items: {right.mean():.3f}  ({time.time() - start:.0f} s)")
    print("  ".join(f"{task} {a:.2f} ({n})" for task, (a, n) in bench.by_task(right).items()))
    counts = defaultdict(list)
    for ok, e in zip(right, bench.examples):
        counts[e.question.task == "count" and e.question.answer].append(ok)
    counts.pop(False, None)
    print("count by answer: " + "  ".join(f"{k} {np.mean(v):.2f}" for k, v in sorted(counts.items())))
    bins = defaultdict(list)
    for ok, e in zip(right, bench.examples):
        bins[int(e.question.hard * 4)].append(ok)
    print("by difficulty quarter: " + "  ".join(f"{np.mean(v):.2f}" for _, v in sorted(bins.items())))
    wrong = [i for i, ok in enumerate(right) if not ok]
    for i in wrong[: args.show]:
        q = bench.examples[i].question
        print(f"  {q.text}\n     want {q.think} -> {q.answer}\n     said {said[i][0]}")
    if args.pruning:
        generator = torch.Generator().manual_seed(0)
        share = np.mean([1 - len(adaptive_keep(s)) / len(s) for s in bench.scores.values()])
        accuracy = bench.right(bench.answers(lambda s, f: adaptive_keep(s))).mean()
        print(f"adaptive KDV, 45 degrees: pruned {share:.2f} accuracy {accuracy:.3f}")
        for rho in (0.25, 0.5, 0.75):
            for pruner in ("kdv", "random", "uniform", "norm"):
                choose = lambda s, f: keep_by(pruner, rho, s, f, generator)
                print(f"rho {rho} {pruner}: {bench.right(bench.answers(choose)).mean():.3f}")
    if args.rollouts:
        said = bench.answers(rollouts=args.rollouts, temperature=0.7)
        right_k = bench.right(said)
        voted = np.array([vote(t) == e.question.answer for t, e in zip(said, bench.examples)])
        print(f"solvability histogram: {np.bincount(right_k.sum(1), minlength=args.rollouts + 1).tolist()}")
        print(f"sampled {right_k.mean():.3f}  vote {voted.mean():.3f}  any {right_k.any(1).mean():.3f}  greedy {right.mean():.3f}")
        solv = right_k.mean(1)
        middle = (solv >= 0.3) & (solv <= 0.8)
        print(f"middle solvability ({middle.sum()}): greedy {right[middle].mean():.3f} vote {voted[middle].mean():.3f}")
    print(json.dumps({"items": len(right), "accuracy": round(float(right.mean()), 4), "seconds": round(time.time() - start)}))


if __name__ == "__main__":
    main()
