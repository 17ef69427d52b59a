"""The world: seeds, words per visual token, questions and answers, pictures.

    python -m pytest training/tests/test_world.py

Answers are recomputed from the words of the question and the items alone, by code of its own.
"""

import re
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest

from training.phrasings import PHRASINGS
from training.questions import ask, ask_count
from training.render import CACHE, render
from training.world import (
    COLOURS, SCENE_SHARES, SEED_RANGE, SHAPES, SIGN_WORDS, SPLITS, THINGS, TOKEN_PX, rng_for, sample_scene, token_words,
)  # fmt: skip

IRREGULAR = {"fish": "fish", "cherries": "cherry", "strawberries": "strawberry", "butterflies": "butterfly", "buses": "bus", "crosses": "cross"}


def scenes(n, split="train", kind=None, hard=None):
    for i in range(n):
        rng = rng_for(split, i)
        yield sample_scene(rng, split, rng.random() if hard is None else hard, kind), rng


@pytest.fixture(scope="session")
def atlas():
    if not (CACHE / "atlas_fonts.npz").exists():
        subprocess.run([sys.executable, "-m", "training.atlas"], check=True)


def test_seed_decides_everything(atlas):
    def made(seed):
        rng = rng_for("train", seed)
        scene = sample_scene(rng, "train", 0.8)
        return scene, ask(scene, rng, 4), render(scene, rng)

    for seed in range(6):
        (scene, questions, picture), (scene2, questions2, picture2) = made(seed), made(seed)
        assert scene == scene2 and questions == questions2 and np.array_equal(picture, picture2)
    assert made(0)[0] != made(1)[0]


def test_splits_are_disjoint():
    ranges = sorted((part * SEED_RANGE, part * SEED_RANGE + SEED_RANGE - 1) for part in SPLITS.values())
    assert {"train", "calibration", "heldout"} <= set(SPLITS)
    assert all(end < start for (_, end), (start, _) in zip(ranges, ranges[1:]))
    for seed in (-1, SEED_RANGE):
        with pytest.raises(ValueError, match="outside"):
            rng_for("train", seed)
    # The same numbers in two splits are different scenes, and no held-out scene occurs among as many training scenes.
    keys = [{repr(scene.items) for scene, _ in scenes(2000, split)} for split in ("train", "calibration", "heldout")]
    assert not keys[0] & keys[1] and not keys[0] & keys[2] and not keys[1] & keys[2]


def test_new_style_is_never_trained_on():
    style = {item.style for scene, _ in scenes(100, "newstyle", "things") for item in scene.items}
    for split in ("train", "calibration", "heldout"):
        assert not style & {item.style for scene, _ in scenes(300, split, "things") for item in scene.items}


def test_token_words_lie_where_the_items_are():
    shapes = set()
    for scene, _ in scenes(500):
        rows, cols = scene.height // TOKEN_PX, scene.width // TOKEN_PX
        words = token_words(scene)
        assert scene.height % TOKEN_PX == 0 and scene.width % TOKEN_PX == 0 and len(words) == rows * cols
        assert max(rows, cols) <= 16
        shapes.add((rows, cols))
        assert sum(map(bool, words)) == len(scene.items)
        for item in scene.items:
            row, col = int(item.cy // TOKEN_PX), int(item.cx // TOKEN_PX)
            assert words[row * cols + col] == item.words()
            for centre in (item.cx, item.cy):  # well inside one token
                assert 3.9 <= centre % TOKEN_PX <= TOKEN_PX - 3.9
            if item.family not in ("bar", "point"):
                assert (item.row, item.col) == ((row + 1) // 2, (col + 1) // 2)
                assert 1 <= item.row <= 7 and 1 <= item.col <= 7
        assert scene.items == sorted(scene.items, key=lambda item: (item.row, item.col))
    assert any(rows > cols for rows, cols in shapes) and any(rows < cols for rows, cols in shapes)


def test_items_keep_inside_and_apart():
    for scene, _ in scenes(500):
        for i, a in enumerate(scene.items):
            half = a.size / 2 if a.family in ("shape", "thing") else 0
            assert half - 1 <= a.cx <= scene.width - half + 1 and half - 1 <= a.cy <= scene.height - half + 1
            if a.family in ("shape", "thing"):
                for b in scene.items[:i]:
                    assert max(abs(a.cx - b.cx), abs(a.cy - b.cy)) > (a.size + b.size) / 2 - 4


def test_hard_scenes_hold_more_and_smaller_items():
    def mean(hard, value):
        return np.mean([value(scene) for scene, _ in scenes(300, kind="mixed", hard=hard)])

    assert mean(1.0, lambda s: len(s.items)) > mean(0.0, lambda s: len(s.items)) + 3
    assert mean(0.0, lambda s: s.items[0].size) > mean(1.0, lambda s: s.items[0].size) + 5
    assert mean(0.0, lambda s: s.knobs["noise"]) == 0 < mean(1.0, lambda s: s.knobs["noise"])


# Answers, recomputed ---------------------------------------------------------------------------------


def number_of(text):
    return int(re.search(r"\d+", text)[0])


def named(text, items):
    """Items that a name means: "red stars", "blue shape", "cat", "objects"."""
    words = text.split()
    colour = [w for w in words if w in COLOURS]
    kind = [IRREGULAR.get(w) or (w if w in SHAPES + THINGS else w.removesuffix("s")) for w in words]
    kind = [k for k in kind if k in SHAPES + THINGS]
    assert colour or kind or words[-1] in ("objects", "things", "shapes"), text
    return [i for i in items if (not colour or i.colour == colour[0]) and (not kind or i.word == kind[0])]


NAME = r"(?:\w+ )?\w+"


def solve(scene, task, text):
    """The answer to an open question, from its words and the items."""
    items = scene.items
    low = text.lower()
    if task == "what":
        cell = re.search(r"row (\d), column (\d)|row (\d) and column (\d)|column (?P<c>\d) of row (?P<r>\d)", low)
        place = re.search(r"(top|bottom) (left|right)", low)
        colour = [c for c in COLOURS if f" {c} " in low.replace("?", " ")]
        if cell:
            numbers = [int(g) for g in cell.groups() if g]
            row, col = (int(cell["r"]), int(cell["c"])) if cell["r"] else numbers[:2]
            found = [i for i in items if (i.row, i.col) == (row, col)]
        elif place:
            sign_y, sign_x = (1 if place[1] == "top" else -1), (1 if place[2] == "left" else -1)
            found = [min(items, key=lambda i: sign_y * i.cy + sign_x * i.cx)]
        elif colour:
            found = [i for i in items if i.colour == colour[0]]
        else:
            found = items
        assert len(found) == 1, text
        return found[0].word
    if task == "colour":
        found = [i for i in items if i.colour and re.search(rf"\b{i.word}\b", low)]
        assert len(found) == 1, text
        return found[0].colour
    if task == "exists":
        name = re.search(rf"\ban? ({NAME})", low)[1]
        return "yes" if named(" ".join(w for w in name.split() if w not in ("in", "is")), items) else "no"
    if task == "count":
        name = re.search(rf"(?:how many|count the|number of) ({NAME})", low)[1]
        return str(len(named(re.sub(r" (are|do|does|there)$", "", name), items)))
    if task == "compare":
        parts = re.split(r" or more | or | and ", re.sub(r"^.*more of, |^.*?more (?!frequent|numerous)|^.*frequent, |^of |, which are.*|\?", "", low))
        assert len(parts) == 2, text
        a, b = (named(part, items) for part in parts)
        assert len(a) != len(b), text
        best = max(a, b, key=len)[0]
        return best.colour if "shapes" in parts[0] else best.word
    if task == "neighbour":
        side = re.search(r"(left|right|above|below|under)(?: of)?(?: it| the)", low.replace("right next to", ""))[1]
        start = named(re.search(rf"the ({NAME})(?:[,.?]|$)", low.replace(" in the", ""))[1], items)
        assert len(start) == 1, text
        dy, dx = {"left": (0, -56), "right": (0, 56), "above": (-56, 0), "below": (56, 0), "under": (56, 0)}[side]
        near = [i for i in items if abs(i.cx - start[0].cx - dx) < 25 and abs(i.cy - start[0].cy - dy) < 25]
        assert len(near) == 1, text
        return near[0].word
    if task == "side":
        x, side, y = re.search(rf"the ({NAME}?)(?: is| lie| stand)?(?: somewhere)?(?: to the)? (left|right|above|below|under)(?: of)? the ({NAME})", low).groups()
        (a,), (b,) = named(x, items), named(y, items)
        return "yes" if {"left": a.col < b.col, "right": a.col > b.col, "above": a.row < b.row}.get(side, a.row > b.row) else "no"
    if task in ("read", "sign"):
        colour = [c for c in COLOURS if re.search(rf"\b{c}\b", low)]
        found = [i for i in items if not colour or i.colour == colour[0]]
        assert len(found) == 1, text
        return str(found[0].value) if task == "read" else found[0].word
    values = [i.value for i in items]
    if task == "sum":
        return str(sum(values))
    if task == "difference":
        return str(max(values) - min(values))
    if task == "largest":
        return str(max(values) if re.search("largest|biggest|highest", low) else min(values))
    if task in ("bar extreme", "line extreme", "pie extreme"):
        value = max(values) if re.search("tallest|highest|largest|biggest", low) else min(values)
        assert values.count(value) == 1
        return [i.colour if task == "pie extreme" else i.word for i in items if i.value == value][0]
    if task == "bar count":
        limit = number_of(low)
        return str(sum(v > limit if re.search("higher|taller|above", low) else v < limit for v in values))
    if task.startswith("pie"):
        found = [i.value for c in COLOURS if re.search(rf"\b{c}\b", low) for i in items if i.colour == c]
        assert len(found) == (1 if task == "pie value" else 2), text
        return str(sum(found))
    if task == "line value":
        (label,) = re.findall(r"(?:point|at) ([A-H])\b", text)
        return str(next(i.value for i in items if i.word == label))
    if task == "line difference":
        found = [i.value for label in re.findall(r"point ([A-H])\b", text) for i in items if i.word == label]
        assert len(found) == 2
        return str(abs(found[0] - found[1]) if "between" in low else found[1] - found[0] if "lower" in low else found[0] - found[1])
    bars = re.findall(r"bar ([A-H])\b|the (\w+) bar\b", text)
    found = [i.value for letter, colour in bars for i in items if (i.word == letter if letter else i.colour == colour)]
    assert len(found) == (1 if task == "bar value" else 2), text
    return str(found[0] if task == "bar value" else sum(found) if task == "bar sum" else found[0] - found[1] if "between" not in low else abs(found[0] - found[1]))


def open_form(text):
    """(question without options, {letter: option})"""
    stem = re.split(r" A\) ", text)[0]
    return stem, dict(re.findall(r"([A-D])\) ([\w ]+?)(?= [A-D]\)|$)", text))


def test_answers_are_right():
    tasks = Counter()
    for scene, rng in [*scenes(4000), *(one for kind in ("signs", "lines", "pies") for one in scenes(300, kind=kind))]:
        for q in ask(scene, rng, 3):
            stem, options = open_form(q.text)
            answer = options[q.answer] if options else q.answer
            assert answer == solve(scene, q.task, stem), (q, scene.items)
            assert len(set(options.values())) == len(options) != 1
            tasks[q.task] += 1
    assert len(tasks) == 23 and min(tasks.values()) >= 100, tasks


def test_a_crowd_of_equals_can_be_asked_about():
    """Twelve cats: now and then no condition drawn has a count of at most nine."""
    scene = next(scene for scene, _ in scenes(300, kind="things", hard=1.0) if len(scene.items) == 12)
    for item in scene.items:
        item.word = "cat"
    asked = [ask_count(scene, rng_for("train", seed)) for seed in range(6000)]
    assert None in asked
    assert all(open_form(q.text)[1].get(q.answer, q.answer) == "0" for q in asked if q)


def test_reasoning_leads_to_the_answer_and_is_short():
    for scene, rng in scenes(3000):
        for q in ask(scene, rng, 3):
            stem, options = open_form(q.text)
            answer = options[q.answer] if options else q.answer
            words = re.findall(r"\w+|\S", q.think)
            assert len(q.think.split()) <= 69
            if q.task in ("what", "colour", "count", "neighbour", "read", "sign", "bar value", "bar difference", "bar sum", "bar count", "largest", "line value", "line difference", "pie value", "pie sum"):
                assert words[-1] == answer, q
            if q.task in ("count", "compare"):  # every item is listed once, at its place
                line, found = {}, []
                for axis, n in re.findall(r"\b([rc])(\d)\b", q.think):
                    line[axis] = int(n)
                    if axis == ("c" if re.search(r": r\d", q.think) else "r"):
                        found.append((line["r"], line["c"]))
                assert sorted(found) == sorted((i.row, i.col) for i in scene.items), q


def test_answers_are_balanced():
    """Of open questions: yes/no near one half; no count, colour, kind or value dominates its task."""
    answers, options = {}, Counter()
    for scene, rng in [*scenes(12000), *(one for kind in ("signs", "pies") for one in scenes(600, kind=kind))]:
        for q in ask(scene, rng, 3):
            if open_form(q.text)[1]:
                options[q.answer] += 1
            else:
                answers.setdefault(q.task, Counter())[q.answer] += 1
    share = {task: {a: n / sum(c.values()) for a, n in c.items()} for task, c in answers.items()}
    for task in ("exists", "side"):
        assert 0.44 < share[task]["yes"] < 0.56
    bounds = {"count": 0.24, "colour": 0.17, "what": 0.12, "neighbour": 0.12, "compare": 0.12, "read": 0.06, "sum": 0.06, "difference": 0.09,
              "largest": 0.06, "sign": 0.1, "bar value": 0.17, "bar extreme": 0.4, "bar difference": 0.3, "bar sum": 0.18, "bar count": 0.38,
              "line value": 0.17, "line extreme": 0.4, "line difference": 0.3, "pie value": 0.35, "pie extreme": 0.2, "pie sum": 0.25}  # fmt: skip
    for task, bound in bounds.items():
        assert max(share[task].values()) < bound, (task, share[task])
    assert min(share["count"][str(n)] for n in range(10)) > 0.02
    assert set(share["colour"]) == set(COLOURS) and set(share["sign"]) == set(SIGN_WORDS)
    assert set(SHAPES + THINGS) <= set(share["what"])
    assert options["A"] < 0.4 * sum(options.values()) and options["C"] > 0.2 * sum(options.values())


def test_every_question_has_at_least_six_phrasings():
    assert all(len(set(texts)) >= 6 for texts in PHRASINGS.values())


# Pictures --------------------------------------------------------------------------------------------


def test_pictures_show_what_the_scene_says(atlas):
    """Easy shapes: the pixels at the centre have the colour of the item, the corners those of the paper."""
    names = {"red": (0.0, 0.55), "orange": (0.085, 0.6), "yellow": (0.15, 0.5), "green": (0.345, 0.3), "blue": (0.61, 0.4), "purple": (0.785, 0.3)}
    checked = 0
    for scene, rng in scenes(150, kind="shapes", hard=0.0):
        picture = render(scene, rng)
        assert picture.shape == (scene.height, scene.width, 3) and picture.dtype == np.uint8
        for item in scene.items:
            if item.word in ("circle", "square", "diamond", "cross", "heart") and item.colour in names:
                r, g, b = picture[round(item.cy), round(item.cx)] / 255.0
                hue, saturation = hue_of(r, g, b)
                assert min(abs(hue - names[item.colour][0]), 1 - abs(hue - names[item.colour][0])) < 0.09, item
                assert saturation > names[item.colour][1], item
                checked += 1
        assert np.ptp(picture[:4, :4].reshape(-1, 3), axis=0).max() < 90
    assert checked > 50


def hue_of(r, g, b):
    most, least = max(r, g, b), min(r, g, b)
    span = most - least or 1
    hue = (g - b) / span if most == r else 2 + (b - r) / span if most == g else 4 + (r - g) / span
    return hue / 6 % 1, span / most


def test_bars_are_as_high_as_their_values(atlas):
    for scene, rng in scenes(80, kind="bars", hard=0.0):
        picture = render(scene, rng).astype(int)
        base, unit = scene.height - TOKEN_PX, (scene.height - TOKEN_PX - 14) / 10
        for item in scene.items:
            colour = picture[round(base - unit / 2), round(item.cx)]
            column = np.abs(picture[: base - 2, round(item.cx)] - colour).max(1) < 12  # above the outline
            height = 2 + column[::-1].argmin()
            assert abs(height / unit - item.value) < 0.35, (item, height / unit)


def test_noise_follows_its_knob(atlas):
    for kind in SCENE_SHARES:  # everything at its hardest
        for scene, rng in scenes(20, "newstyle", kind, 1.0):
            assert render(scene, rng).shape == (scene.height, scene.width, 3)
    scene, rng = next(scenes(1, kind="things", hard=1.0))
    for noise in (5.0, 20.0):
        scene.knobs |= {"noise": noise, "clutter": 0, "occlusion": 0, "fade": 0, "blur": False, "dark": False}
        corner = render(scene, rng_for("train", 7))[:20, :20].astype(float)
        scene.knobs["noise"] = 0.0
        paper = render(scene, rng_for("train", 7))[:20, :20].astype(float)
        assert abs((corner - paper).std() / noise - 0.8) < 0.4  # clipped at white
