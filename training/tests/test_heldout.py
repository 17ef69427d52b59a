"""Held-out items and sample pictures agree with the world that made them.

    python -m pytest training/tests/test_heldout.py
"""

import json
from collections import Counter
from pathlib import Path

from PIL import Image

from training.heldout import LAST_SEED, TASK_NAMES, items
from training.questions import ask
from training.samples import FIRST
from training.tests.test_world import atlas, open_form, solve  # noqa: F401  (atlas is a fixture)
from training.world import rng_for, sample_scene

ROOT = Path(__file__).parent.parent.parent


def test_tasks_come_equally_often(atlas):  # noqa: F811
    made = list(items(40, "heldout"))
    tasks = Counter(question.task for _, question, _ in made)
    assert set(tasks) == set(TASK_NAMES) and max(tasks.values()) - min(tasks.values()) <= 1
    assert len({seed for seed, _, _ in made}) == len(made) == 40
    assert all(picture.shape[0] % 28 == 0 and picture.shape[1] % 28 == 0 for _, _, picture in made)


def test_committed_items_are_those_of_their_seeds():
    folder = ROOT / "test" / "fixtures" / "eval"
    entries = json.loads((folder / "items.json").read_text())
    assert len(entries) == 100 and len({entry["image"] for entry in entries}) == 100
    assert sum(path.stat().st_size for path in folder.iterdir()) < 1_500_000
    for entry in entries:
        rng = rng_for("heldout", entry["seed"])
        assert entry["seed"] < LAST_SEED <= FIRST
        scene = sample_scene(rng, "heldout", rng.random())
        assert Image.open(folder / entry["image"]).size == (scene.width, scene.height)
        assert round(scene.hard, 3) == entry["hard"]
        assert any((q.text, q.answer, q.task) == (entry["question"], entry["answer"], entry["task"]) for q in ask(scene, rng, 4))
        stem, options = open_form(entry["question"])
        assert solve(scene, entry["task"], stem) == (options[entry["answer"]] if options else entry["answer"])


def test_samples_have_pictures_and_questions():
    folder = ROOT / "media" / "samples"
    entries = json.loads((folder / "questions.json").read_text())
    assert {entry["task"] for entry in entries} >= {"what", "colour", "exists", "count", "compare", "neighbour", "sum", "bar extreme"}
    assert {entry["file"] for entry in entries} == {path.name for path in folder.iterdir() if path.suffix in (".png", ".jpg")}
    for entry in entries:
        picture = Image.open(folder / entry["file"])
        assert 224 <= max(picture.size) <= 448
        assert entry["question"] and entry["answer"] and entry["note"]
