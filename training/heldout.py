"""Writes held-out items with their pictures, for evaluation through the extension's engine.

    python -m training.heldout --items 100 --out test/fixtures/eval       # the committed subset
    python -m training.heldout --items 1200                               # -> training/.cache/eval
    python -m training.heldout --items 300 --split newstyle --out FOLDER  # a drawing style never trained on

Every task has the same number of items (within one), every item a picture of its own; difficulty is
uniform in 0..1. items.json: [{image, question, answer, task, hard, seed}].
"""

import argparse
import json
import sys
from pathlib import Path

from PIL import Image

from training.questions import ask
from training.render import render
from training.world import SPLITS, rng_for, sample_scene

TASK_NAMES = [
    "what", "colour", "exists", "count", "compare", "neighbour", "side", "read", "sum", "difference", "largest",
    "bar value", "bar extreme", "bar difference", "bar sum", "bar count", "sign",
    "line value", "line extreme", "line difference",
]  # fmt: skip
LAST_SEED = 1_000_000  # the sample pictures come from seeds beyond


def items(count: int, split: str):
    """Yields (seed, question, picture), task by task in turn as the seeds give them."""
    left = {task: count // len(TASK_NAMES) + (i < count % len(TASK_NAMES)) for i, task in enumerate(TASK_NAMES)}
    for seed in range(LAST_SEED):
        rng = rng_for(split, seed)
        scene = sample_scene(rng, split, rng.random())
        wanted = [question for question in ask(scene, rng, 4) if left[question.task]]
        if wanted:
            question = max(wanted, key=lambda question: left[question.task])
            left[question.task] -= 1
            yield seed, question, render(scene, rng)
            if not any(left.values()):
                return


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--items", type=int, default=1200)
    parser.add_argument("--split", default="heldout", choices=[split for split in SPLITS if split != "train"])
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / ".cache" / "eval")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    for old in args.out.glob("*.webp"):
        old.unlink()
    entries = []
    for seed, question, picture in items(args.items, args.split):
        image = f"{len(entries):04d}.webp"
        Image.fromarray(picture).save(args.out / image, quality=90, method=4)
        entries.append({
            "image": image, "question": question.text, "answer": question.answer, "task": question.task,
            "hard": round(question.hard, 3), "seed": seed,
        })  # fmt: skip
        if len(entries) % 100 == 0:
            print(f"{len(entries)} of {args.items}", file=sys.stderr)
    (args.out / "items.json").write_text("[\n" + ",\n".join(json.dumps(entry) for entry in entries) + "\n]\n")


if __name__ == "__main__":
    main()
