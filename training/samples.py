"""Makes media/samples: pictures over all tasks, easy to hard, with questions to ask about them.

    python -m training.samples          # needs the atlas (python -m training.atlas) and pip for the photograph

Every drawn picture is the first of the held-out range, from seed FIRST on, that fits its description and
that the shipped checkpoint answers as the description says; evaluation uses the seeds below FIRST. The
photograph comes from the scikit-image package (CC0).
"""

import itertools
import json
from pathlib import Path

from PIL import Image

from training.data import example
from training.evaluate import Bench, adaptive_keep, answer_in
from training.photographs import photographs
from training.questions import ask
from training.reasoning import Question
from training.render import render
from training.tokenizer import MODEL_DIR, load
from training.train import load_checkpoint
from training.world import Scene, rng_for, sample_scene

OUT = Path(__file__).parent.parent / "media" / "samples"
FIRST = 1_000_000  # held-out seed
SIDES = range(224, 449)  # px

# Where the search begins in place of FIRST. In "vote" the engine's own rollouts are right (seed 0, K by the policy).
STARTS = {"vote": 1_000_426}

# file, scene kind, difficulty, task, further condition on scene and question, note
SAMPLES = [
    ("one-thing", "things", 0.0, "what", lambda s, q: len(s.items) == 1 and s.items[0].size > 80, "One large drawing: easy, so a single rollout is enough."),
    ("colour", "shapes", 0.1, "colour", lambda s, q: 4 <= len(s.items) <= 5 and len({i.colour for i in s.items}) > 2, "A look-up: find the shape, name its colour."),
    ("background", "shapes", 0.0, "count", lambda s, q: s.width >= 336 and 2 <= len(s.items) <= 4 and q.text == "How many diamonds do you see?" and q.answer != "0" and plain(s),
     "Few shapes on plain paper: most visual tokens show nothing but background and are dropped."),
    ("exists", "shapes", 0.4, "exists", lambda s, q: q.answer == "no" and len(s.items) >= 6 and any(i.word in q.text for i in s.items) and q.think.count(" ") == 4, "The shape is there, in another colour."),
    ("neighbour", "things", 0.35, "neighbour", lambda s, q: s.knobs.get("board") and len(s.items) >= 6, "Two steps: find the thing, look next to it."),
    ("side", "mixed", 0.5, "side", lambda s, q: len(s.items) >= 5, "Left, right, above or below: compare two places."),
    ("sum", "numbers", 0.2, "sum", lambda s, q: min(i.value for i in s.items) > 12 and "12" in q.think, "Read two numbers, then add them in columns."),
    ("difference", "numbers", 0.5, "difference", lambda s, q: min(i.value for i in s.items) > 12 and q.think.count(" - ") > 3, "Read, read, subtract with a borrow."),
    ("tallest", "bars", 0.2, "bar extreme", lambda s, q: len(s.items) >= 4, "Read every bar and keep the best so far."),
    ("bars", "bars", 0.6, "bar difference", lambda s, q: len(s.items) >= 5, "Two bars of a chart in noise, and a subtraction."),
    ("compare", "shapes", 0.75, "compare", lambda s, q: 9 <= len(s.items) <= 12 and margin(s, q) == 1, "Two running counts over a crowd that differ by one."),
    ("vote", "things", 0.9, "count", lambda s, q: True,
     "The predictor asks for five rollouts, and the vote is right where the single greedy answer is wrong. Without early stop all five are decoded to their end, and disagree."),
    ("sign", "signs", 0.5, "sign", lambda s, q: len(s.items) >= 2, "A short word on a plate."),
    ("line", "lines", 0.4, "line difference", lambda s, q: len(s.items) >= 4, "Two points of a line, and a subtraction."),
    ("crowd", "mixed", 1.0, "count", lambda s, q: len(s.items) >= 13 and q.answer in "4567" and s.knobs["occlusion"] and s.knobs["noise"] > 8,
     "Many small, half-covered things in noise: the hardest, often answered wrong."),
]  # fmt: skip
PHOTOGRAPH = ("photograph", "cat", "Is there a cat?", "exists", "yes",
              "A photograph: unlike anything that the embedded model was trained on, so its answer is not to be trusted, right or wrong.")  # fmt: skip


def multiple_choice(question: Question) -> bool:
    return " A) " in question.text


def plain(scene: Scene) -> bool:
    return not any(scene.knobs.get(knob) for knob in ("noise", "clutter", "board", "dark", "fade"))


def margin(scene: Scene, question: Question) -> int:
    """By how much the two counts of a comparison differ."""
    counts = [int(word) for word in question.think.split()[-2:]]
    return abs(counts[0] - counts[1])


def candidates(first: int, kind: str, hard: float, task: str, fits):
    """(seed, scene, question, generator as render wants it) of every held-out scene from seed `first` on that
    has such a question."""
    for index in range(first, first + 400_000):
        rng = rng_for("heldout", index)
        scene = sample_scene(rng, "heldout", hard, kind)
        if scene.width not in SIDES or scene.height not in SIDES:
            continue
        for question in ask(scene, rng, 4):
            if question.task == task and not multiple_choice(question) and fits(scene, question):
                yield index, scene, question, rng
                break


def answered(model, tokenizer, tau, name: str, found) -> list[bool]:
    """Whether the checkpoint answers (greedy) as the sample `name` wants it: right, but "vote" wrong, and
    "crowd" as it likes."""
    examples = [example(scene, question, tokenizer) for _, scene, question, _ in found]
    bench = Bench(model, examples, {id(scene): rng for _, scene, _, rng in found})
    keep = lambda scores, features: adaptive_keep(scores, tau)
    greedy = [answer_in(texts[0]) == q.answer for texts, (_, _, q, _) in zip(bench.answers(keep), found)]
    return [name == "crowd" or right != (name == "vote") for right in greedy]


def find(model, tokenizer, tau, name: str, *wanted) -> tuple[Scene, Question, Image.Image, int]:
    """The first candidate that is answered as wanted."""
    stream = candidates(STARTS.get(name, FIRST), *wanted)
    while found := list(itertools.islice(stream, 24)):
        for (index, scene, question, _), fits in zip(found, answered(model, tokenizer, tau, name, found)):
            if fits:
                rng = rng_for("heldout", index)
                scene = sample_scene(rng, "heldout", scene.hard, scene.kind)
                ask(scene, rng, 4)
                return scene, question, Image.fromarray(render(scene, rng)), index
    raise SystemExit(f"no held-out scene fits the sample {name!r}")


def main() -> None:
    model, tokenizer = load_checkpoint(), load()
    tau = json.loads((MODEL_DIR / "avis" / "policy.json").read_text())["tau"]["degrees"]
    OUT.mkdir(parents=True, exist_ok=True)
    for old in [*OUT.glob("*.png"), *OUT.glob("*.jpg")]:
        old.unlink()
    entries = []
    for number, (name, kind, hard, task, fits, note) in enumerate(SAMPLES, 1):
        scene, question, picture, index = find(model, tokenizer, tau, name, kind, hard, task, fits)
        file = f"{number:02d}-{name}.png"
        picture.save(OUT / file, optimize=True)
        entries.append({"file": file, "question": question.text, "task": task, "answer": question.answer, "note": note})
        print(f"{file}: seed {index}, {picture.width}x{picture.height}, {question.text} -> {question.answer}")
    name, photograph, question, task, answer, note = PHOTOGRAPH
    file = f"{len(SAMPLES) + 1:02d}-{name}.jpg"
    picture = photographs()[photograph]
    picture.thumbnail((392, 392), Image.LANCZOS)
    picture.save(OUT / file, quality=88)
    entries.append({"file": file, "question": question, "task": task, "answer": answer, "note": note})
    (OUT / "questions.json").write_text(json.dumps(entries, indent=2) + "\n")


if __name__ == "__main__":
    main()
