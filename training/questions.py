"""Questions about a scene, with a short reasoning and the answer.

    python -m training.questions --scenes 2000        # balance of answers, lengths, examples

Every reasoning can be computed token by token from the visual tokens: it begins with what is sought,
in the singular; positions are layout rows and columns ("r2 c3", see world.py), the row only where it
changes; when counting, every item is listed in raster order with the tested attribute immediately
before the running count ("star: r1 c1 star 1 c4 square 1 r2 c2 star 2"). A part of the lists goes
column by column instead, so that sampled rollouts are different attempts.
"""

import argparse
import time
from collections import Counter
from dataclasses import dataclass

import numpy as np

from training.world import (
    COLOURS, SHAPES, SIGN_WORDS, THINGS, Item, Scene, pick, rng_for, sample_scene, some, whole,
)  # fmt: skip

BY_COLUMN = 0.3  # share of lists that go column by column
MULTIPLE_CHOICE = 0.3  # share of multiple choice where a task has it
LETTERS = "ABCD"
PLURALS = {"fish": "fish", "cherry": "cherries", "strawberry": "strawberries", "butterfly": "butterflies",
           "bus": "buses", "cross": "crosses"}  # fmt: skip


@dataclass(slots=True)
class Question:
    text: str
    think: str
    answer: str
    task: str
    steps: int  # items read plus operations done
    hard: float


PHRASINGS = {
    "what_corner": [
        "What is in the {place} corner?", "What is at the {place}?", "Which object is in the {place} corner?",
        "What do you see at the {place}?", "Name the object in the {place} corner.", "What stands in the {place} corner of the picture?",
        "The object in the {place} corner: what is it?",
    ],
    "what_cell": [
        "What is in row {r}, column {c}?", "What is at row {r}, column {c}?", "Which object is in row {r} and column {c}?",
        "Name the object in row {r}, column {c}.", "What do you see in column {c} of row {r}?", "In row {r}, column {c}, what is there?",
    ],
    "what_colour": [
        "What is the {colour} object?", "Which shape is {colour}?", "What shape is the {colour} one?", "Name the {colour} shape.",
        "What kind of shape is {colour}?", "The {colour} shape: what is it?",
    ],
    "what_only": [
        "What is shown?", "What is this?", "What is in the picture?", "What do you see?", "Name the object.", "Which object is in the image?",
    ],
    "colour": [
        "What colour is the {ref}?", "What color is the {ref}?", "Which colour does the {ref} have?", "Name the colour of the {ref}.",
        "What is the colour of the {ref}?", "Tell me the color of the {ref}.", "The {ref} is which colour?",
    ],
    "exists": [
        "Is there {a}?", "Is there {a} in the picture?", "Do you see {a}?", "Does the picture show {a}?", "Can you find {a}?",
        "Is {a} in the image?", "Does the image contain {a}?",
    ],
    "count": [
        "How many {many} are there?", "How many {many} do you see?", "How many {many} are in the picture?", "Count the {many}.",
        "What is the number of {many}?", "How many {many} does the image show?", "Tell me how many {many} there are.",
    ],
    "compare": [
        "Are there more {x} or {y}?", "Which are there more of, {x} or {y}?", "Do you see more {x} or more {y}?", "More {x} or more {y}?",
        "Which is more frequent, {x} or {y}?", "Does the picture show more {x} or {y}?", "Of {x} and {y}, which are more numerous?",
    ],
    "neighbour": [
        "What is directly {side} the {ref}?", "What is right next to the {ref}, {side} it?", "Which object is directly {side} the {ref}?",
        "What do you see directly {side} the {ref}?", "Name the object directly {side} the {ref}.", "Directly {side} the {ref}, what is there?",
    ],
    "side": [
        "Is the {x} {side} the {y}?", "Is the {x} somewhere {side} the {y}?", "Does the {x} lie {side} the {y}?",
        "Is it true that the {x} is {side} the {y}?", "Do you see the {x} {side} the {y}?", "Does the {x} stand {side} the {y}?",
    ],
    "read": [
        "What number is shown?", "What is the number?", "Read the number.", "Which number do you see?", "What number is in the picture?",
        "Tell me the number.", "Which number is written here?",
    ],
    "read_colour": [
        "What is the {colour} number?", "Read the {colour} number.", "Which number is {colour}?", "What number is written in {colour}?",
        "What does the {colour} number say?", "Tell me the {colour} number.",
    ],
    "sum": [
        "What is the sum of the two numbers?", "What is the sum?", "Add the two numbers.", "What do the numbers add up to?",
        "What do you get if you add the numbers?", "How much are the two numbers together?", "Add up the numbers in the picture.",
    ],
    "difference": [
        "What is the difference between the two numbers?", "What is the difference?", "Subtract the smaller number from the larger.",
        "By how much do the numbers differ?", "How far apart are the two numbers?", "How much larger is the larger number?",
    ],
    "largest": [
        "Which number is the {most}?", "What is the {most} number?", "Find the {most} number.", "Name the {most} of the numbers.",
        "Of all the numbers, which is the {most}?", "Tell me the {most} number in the picture.",
    ],
    "bar_value": [
        "What is the value of {bar}?", "How high is {bar}?", "What value does {bar} have?", "Read the value of {bar}.",
        "How tall is {bar}?", "Tell me the value of {bar}.", "Which value does {bar} reach?",
    ],
    "bar_extreme": [
        "Which bar is the {most}?", "What is the {most} bar?", "Name the {most} bar.", "Which of the bars is the {most}?",
        "Find the {most} bar.", "Which bar is {most}?",
    ],
    "bar_difference": [
        "How much higher is {x} than {y}?", "How much taller is {x} than {y}?", "By how much does {x} exceed {y}?",
        "What is the difference between {x} and {y}?", "How far is {x} above {y}?", "What is {x} minus {y}?",
    ],
    "bar_sum": [
        "What is the sum of {x} and {y}?", "How much are {x} and {y} together?", "Add {x} and {y}.",
        "What is the total of {x} and {y}?", "What do {x} and {y} add up to?", "What is {x} plus {y}?",
    ],
    "bar_count": [
        "How many bars are {than} {v}?", "Count the bars {than} {v}.", "How many of the bars are {than} {v}?",
        "How many bars do you see {than} {v}?", "What is the number of bars {than} {v}?", "Tell me how many bars are {than} {v}.",
    ],
    "sign": [
        "What does the sign say?", "What is written on the sign?", "Read the sign.", "Which word is on the sign?", "What word do you see?",
        "What is the word on the sign?",
    ],
    "sign_colour": [
        "What does the {colour} sign say?", "What is written on the {colour} sign?", "Read the {colour} sign.",
        "Which word is on the {colour} sign?", "What word is on the {colour} sign?", "Tell me what the {colour} sign says.",
    ],
}  # fmt: skip
SIDES = {"left": ("left of", "to the left of"), "right": ("right of", "to the right of"), "above": ("above",), "below": ("below", "under")}
STEP = {"left": (0, -1), "right": (0, 1), "above": (-1, 0), "below": (1, 0)}


# Words for things and conditions -------------------------------------------------------------------
# A condition (colour, word) holds where both parts that are not "" match; ("", "") is any item.


def plural(word: str) -> str:
    return PLURALS.get(word) or word + "s"


def holds(condition: tuple[str, str], item: Item) -> bool:
    colour, word = condition
    return (not colour or item.colour == colour) and (not word or item.word == word)


def singular_name(condition: tuple[str, str]) -> str:
    return " ".join(part for part in condition if part)


def with_article(condition: tuple[str, str]) -> str:
    name = singular_name(condition) + ("" if condition[1] else " shape")
    return ("an " if name[0] in "aeiou" else "a ") + name


def plural_name(condition: tuple[str, str], any_word: str) -> str:
    colour, word = condition
    return " ".join(part for part in (colour, plural(word) if word else "shapes" if colour else any_word) if part)


def unique_conditions(items: list[Item]) -> list[tuple[tuple[str, str], Item]]:
    """The shortest condition that only this item meets (kind alone, else colour and kind), with the item."""
    by_word = Counter(item.word for item in items)
    by_both = Counter((item.colour, item.word) for item in items)
    found = []
    for item in items:
        if by_word[item.word] == 1:
            found.append((("", item.word), item))
        elif item.colour and by_both[item.colour, item.word] == 1:
            found.append(((item.colour, item.word), item))
    return found


# Building blocks of the reasoning ------------------------------------------------------------------


def at(item: Item) -> str:
    return f"r{item.row} c{item.col}"


def listing(rng: np.random.Generator, items: list[Item], says) -> str:
    """Lists the items row by row (or column by column); says(item) is called in that order."""
    by_column = rng.random() < BY_COLUMN
    if by_column:
        items = sorted(items, key=lambda item: (item.col, item.row))
    parts, line = [], 0
    for item in items:
        if by_column:
            if item.col != line:
                parts.append(f"c{item.col}")
                line = item.col
            parts.append(f"r{item.row}")
        else:
            if item.row != line:
                parts.append(f"r{item.row}")
                line = item.row
            parts.append(f"c{item.col}")
        parts.append(says(item))
    return " ".join(parts)


def tested(condition: tuple[str, str], item: Item) -> str:
    """The attribute that decides: the colour where one is asked (then the kind where the colour matched)."""
    colour, word = condition
    if not colour or not item.colour:
        return item.word if word or colour else ""
    return f"{item.colour} {item.word}" if word and item.colour == colour else item.colour


def running(values):
    """A function that returns the running values joined, updated by each call: values is a list of
    functions item -> increment."""
    totals = [0] * len(values)

    def step(item: Item) -> str:
        for i, value in enumerate(values):
            totals[i] += value(item)
        return " ".join(map(str, totals))

    return step


def question(rng, scene, task, phrasing, think, answer, steps, options=None, **words) -> Question:
    """Fills a phrasing in; with `options` (wrong answers to draw from) a part becomes multiple choice."""
    text = pick(rng, PHRASINGS[phrasing]).format(**words)
    if options is not None and rng.random() < MULTIPLE_CHOICE:
        wrong = [o for o in options if o != answer]
        n = min(whole(rng, 2, 3), len(wrong))
        choices = some(rng, [*some(rng, wrong, n), answer], n + 1)
        text += " " + " ".join(f"{letter}) {choice}" for letter, choice in zip(LETTERS, choices))
        answer = LETTERS[choices.index(answer)]
    return Question(text, think, answer, task, steps, scene.hard)


# Tasks: each returns a question or None where the scene does not allow it -----------------------------


def ask_what(scene: Scene, rng: np.random.Generator) -> Question | None:
    items, (rows, cols) = scene.items, scene.layout
    options = SHAPES if scene.kind == "shapes" else THINGS if scene.kind == "things" else SHAPES + THINGS
    if len(items) == 1:
        item = items[0]
        return question(rng, scene, "what", "what_only", f"{at(item)} {item.word}", item.word, 1, options)
    ways = []
    corners = {(1, 1): "top left", (1, cols): "top right", (rows, 1): "bottom left", (rows, cols): "bottom right"}
    if rows > 1 and cols > 1:
        ways += [("what_corner", item, {"place": corners[item.row, item.col]}) for item in items if (item.row, item.col) in corners]
    if scene.knobs.get("board"):
        ways += [("what_cell", item, {"r": item.row, "c": item.col}) for item in items]
    colours = Counter(item.colour for item in items)
    ways += [("what_colour", item, {"colour": item.colour}) for item in items if item.colour and colours[item.colour] == 1]
    if not ways:
        return None
    kinds = sorted({way[0] for way in ways})
    kind = pick(rng, kinds)
    phrasing, item, words = pick(rng, [way for way in ways if way[0] == kind])
    start = "" if phrasing == "what_cell" else words.get("place", words.get("colour")) + ": "
    return question(rng, scene, "what", phrasing, f"{start}{at(item)} {item.word}", item.word, 1, options, **words)


def ask_colour(scene: Scene, rng: np.random.Generator) -> Question | None:
    shapes = [item for item in scene.items if item.colour]
    by_word = Counter(item.word for item in shapes)
    shapes = [item for item in shapes if by_word[item.word] == 1]
    if not shapes:
        return None
    item = pick(rng, shapes)
    think = f"{item.word}: {at(item)} {item.colour}"
    return question(rng, scene, "colour", "colour", think, item.colour, 1, COLOURS, ref=item.word)


def _conditions(scene: Scene, rng: np.random.Generator) -> list[tuple[str, str]]:
    """Conditions that hold for some item of the scene, and a few that hold for none."""
    shapes = scene.kind != "things"
    words = {item.word for item in scene.items}
    colours = {item.colour for item in scene.items if item.colour}
    kinds = SHAPES if scene.kind == "shapes" else THINGS if scene.kind == "things" else SHAPES + THINGS
    found = [("", word) for word in words] + [("", pick(rng, kinds)), ("", pick(rng, kinds))]
    if shapes:
        found += [(colour, "") for colour in colours] + [(pick(rng, COLOURS), "")]
        found += list({(item.colour, item.word) for item in scene.items if item.colour})
        found += [(pick(rng, COLOURS), item.word) for item in scene.items[:4] if item.colour]
    return sorted(set(found))


def ask_exists(scene: Scene, rng: np.random.Generator) -> Question | None:
    wanted = rng.random() < 0.5
    groups: dict[tuple[bool, bool], list] = {}
    for condition in _conditions(scene, rng):
        if any(holds(condition, item) for item in scene.items) == wanted:
            groups.setdefault((bool(condition[0]), bool(condition[1])), []).append(condition)
    if not groups:
        return None
    condition = pick(rng, groups[pick(rng, sorted(groups))])
    # The best candidate: the first item that meets it, else the first of the same kind.
    best = next((item for item in scene.items if holds(condition, item)), None)
    if best is None and condition[1]:
        best = next((item for item in scene.items if item.word == condition[1]), None)
    seen = f"{at(best)} {tested(condition, best)}" if best else "none"
    think = f"{singular_name(condition)}: {seen}"
    return question(rng, scene, "exists", "exists", think, "yes" if wanted else "no", 1, a=with_article(condition))


def ask_count(scene: Scene, rng: np.random.Generator) -> Question | None:
    """Draws the count first, nearly uniformly, then a condition that has it."""
    by_count: dict[int, list] = {}
    anything = [("", "")] if rng.random() < 0.2 else []
    for condition in _conditions(scene, rng) + anything:
        n = sum(holds(condition, item) for item in scene.items)
        if n <= 9:
            by_count.setdefault(n, []).append(condition)
    weights = [COUNT_WEIGHTS[n] for n in by_count]
    ticket = rng.random() * sum(weights)
    for n, weight in zip(by_count, weights):
        ticket -= weight
        if ticket < 0:
            break
    condition = pick(rng, by_count[n])
    any_word = "shapes" if scene.kind == "shapes" and rng.random() < 0.5 else pick(rng, ["objects", "things"])
    count = running([lambda item: holds(condition, item)])
    list_text = listing(rng, scene.items, lambda item: f"{tested(condition, item)} {count(item)}".strip())
    think = f"{singular_name(condition) or 'all'}: {list_text}"
    many = plural_name(condition, any_word)
    return question(rng, scene, "count", "count", think, str(n), len(scene.items), [str(k) for k in range(10)], many=many)


# Rare counts weigh more (bounds: tests/test_world.py), without making the answer predictable from the crowd.
COUNT_WEIGHTS = [0.8, 0.9, 2.5, 6, 10, 30, 60, 120, 250, 400]


def ask_compare(scene: Scene, rng: np.random.Generator) -> Question | None:
    counts = Counter(("", item.word) for item in scene.items)
    if rng.random() < 0.4:
        counts = Counter((item.colour, "") for item in scene.items if item.colour)
    known = list(counts)
    pairs = [(x, y) for i, x in enumerate(known) for y in known[:i] if counts[x] != counts[y]]
    if not pairs:
        return None
    x, y = some(rng, pick(rng, pairs), 2)
    step = running([lambda item: holds(x, item), lambda item: holds(y, item)])
    list_text = listing(rng, scene.items, lambda item: f"{tested(x, item)} {step(item)}")
    winner = x if counts[x] > counts[y] else y
    think = f"{singular_name(x)} {singular_name(y)}: {list_text}"
    words = {"x": plural_name(x, ""), "y": plural_name(y, "")}
    return question(rng, scene, "compare", "compare", think, singular_name(winner), len(scene.items) + 1, **words)


def ask_neighbour(scene: Scene, rng: np.random.Generator) -> Question | None:
    if scene.layout == (0, 0):
        return None
    cells = {(item.row, item.col): item for item in scene.items}
    found = []
    for condition, item in unique_conditions(scene.items):
        for side, (down, across) in STEP.items():
            other = cells.get((item.row + down, item.col + across))
            if other:
                found.append((condition, item, side, other))
    if not found:
        return None
    condition, item, side, other = pick(rng, found)
    name = singular_name(condition)
    think = f"{name}: {at(item)} {side} {at(other)} {other.word}"
    options = SHAPES if scene.kind == "shapes" else THINGS if scene.kind == "things" else SHAPES + THINGS
    return question(rng, scene, "neighbour", "neighbour", think, other.word, 2, options, side=pick(rng, SIDES[side]), ref=name)


def ask_side(scene: Scene, rng: np.random.Generator) -> Question | None:
    unique = unique_conditions(scene.items)
    if len(unique) < 2:
        return None
    (x, a), (y, b) = some(rng, unique, 2)
    axes = [axis for axis, p, q in (("col", a.col, b.col), ("row", a.row, b.row)) if p != q]
    axis = pick(rng, axes)
    before = getattr(a, axis) < getattr(b, axis)
    yes = rng.random() < 0.5
    side = ("left", "right") if axis == "col" else ("above", "below")
    side = side[0 if before == yes else 1]
    letter = axis[0]
    name_x, name_y = singular_name(x), singular_name(y)
    think = f"{name_x} {letter}{getattr(a, axis)} {name_y} {letter}{getattr(b, axis)}"
    words = {"x": name_x, "y": name_y, "side": pick(rng, SIDES[side])}
    return question(rng, scene, "side", "side", think, "yes" if yes else "no", 3, **words)


def ask_read(scene: Scene, rng: np.random.Generator) -> Question | None:
    options = [str(n) for n in some(rng, range(100), 6)]
    item = pick(rng, scene.items)
    if len(scene.items) == 1:
        return question(rng, scene, "read", "read", f"{at(item)} {item.word}", item.word, 1, options)
    think = f"{item.colour}: {at(item)} {item.word}"
    options += [other.word for other in scene.items]
    return question(rng, scene, "read", "read_colour", think, item.word, 1, sorted(set(options)), colour=item.colour)


def ask_sum(scene: Scene, rng: np.random.Generator) -> Question | None:
    if len(scene.items) != 2:
        return None
    a, b = some(rng, scene.items, 2) if rng.random() < BY_COLUMN else scene.items
    total = a.value + b.value
    think = f"{at(a)} {a.word} {at(b)} {b.word}: " + add_in_columns(a.value, b.value)
    return question(rng, scene, "sum", "sum", think, str(total), 4, near(rng, total))


def ask_difference(scene: Scene, rng: np.random.Generator) -> Question | None:
    if len(scene.items) != 2 or scene.items[0].value == scene.items[1].value:
        return None
    a, b = scene.items
    large, small = max(a.value, b.value), min(a.value, b.value)
    think = f"{at(a)} {a.word} {at(b)} {b.word}: {large} - {small}: " + subtract_in_columns(large, small)
    return question(rng, scene, "difference", "difference", think, str(large - small), 5, near(rng, large - small))


def near(rng: np.random.Generator, value: int) -> list[str]:
    """Wrong options round a result."""
    return [str(value + d) for d in (-10, -2, -1, 1, 2, 10) if 0 <= value + d <= 99]


def add_in_columns(a: int, b: int) -> str:
    """47 + 25: "7 + 5 = 12, 4 + 2 + 1 = 7"."""
    ones, carry = a % 10 + b % 10, (a % 10 + b % 10) // 10
    text = f"{a % 10} + {b % 10} = {ones}"
    tens = [str(n // 10) for n in (a, b) if n >= 10] + ["1"] * carry
    if a < 10 and b < 10:
        return text
    return f"{text}, {' + '.join(tens)} = {a // 10 + b // 10 + carry}"


def subtract_in_columns(a: int, b: int) -> str:
    """52 - 27: "12 - 7 = 5, 5 - 2 - 1 = 2"."""
    borrow = a % 10 < b % 10
    text = f"{a % 10 + 10 * borrow} - {b % 10} = {a % 10 + 10 * borrow - b % 10}"
    if a < 10:
        return text
    tens = [str(a // 10)] + ([str(b // 10)] if b >= 10 else []) + ["1"] * borrow
    return f"{text}, {' - '.join(tens)} = {a // 10 - b // 10 - borrow}"


def ask_largest(scene: Scene, rng: np.random.Generator) -> Question | None:
    if len(scene.items) < 2 or len({item.value for item in scene.items}) < len(scene.items):
        return None
    largest = rng.random() < 0.5
    best = max if largest else min
    most = pick(rng, ["largest", "biggest", "highest"] if largest else ["smallest", "lowest"])
    so_far: list[int] = []

    def says(item: Item) -> str:
        so_far.append(item.value)
        return f"{item.word} {best(so_far)}"

    think = listing(rng, scene.items, says)
    return question(rng, scene, "largest", "largest", think, str(best(so_far)), 2 * len(scene.items), most=most)


def _bar_names(scene: Scene, rng: np.random.Generator) -> list[str]:
    """How the bars are called: "bar A", "A", or by colour where the colours differ."""
    colours = {item.colour for item in scene.items}
    if len(colours) == len(scene.items) and rng.random() < 0.4:
        return [f"the {item.colour} bar" for item in scene.items]
    return [f"bar {item.word}" for item in scene.items]


def _bar_key(name: str) -> str:
    """The word that finds the bar: its label or its colour."""
    return name.removeprefix("the ").removesuffix(" bar").removeprefix("bar ")


def ask_bar_value(scene: Scene, rng: np.random.Generator) -> Question | None:
    names = _bar_names(scene, rng)
    item, name = pick(rng, list(zip(scene.items, names)))
    options = [str(v) for v in range(1, 10)] if name.startswith("the") else None  # letters would be taken for labels
    return question(rng, scene, "bar value", "bar_value", f"{_bar_key(name)} {item.value}", str(item.value), 1, options, bar=name)


def ask_bar_extreme(scene: Scene, rng: np.random.Generator) -> Question | None:
    tallest = rng.random() < 0.5
    best = max if tallest else min
    values = [item.value for item in scene.items]
    if values.count(best(values)) > 1:
        return None
    most = pick(rng, ["tallest", "highest", "largest"] if tallest else ["shortest", "lowest", "smallest"])
    think = " ".join(f"{item.word} {item.value} {best(values[: i + 1])}" for i, item in enumerate(scene.items))
    answer = scene.items[values.index(best(values))].word
    return question(rng, scene, "bar extreme", "bar_extreme", think, answer, 2 * len(values), most=most)


def _two_bars(scene: Scene, rng: np.random.Generator):
    names = _bar_names(scene, rng)
    return some(rng, list(zip(scene.items, names)), 2)


def ask_bar_difference(scene: Scene, rng: np.random.Generator) -> Question | None:
    (a, x), (b, y) = _two_bars(scene, rng)
    if a.value < b.value:
        (a, x), (b, y) = (b, y), (a, x)
    if a.value == b.value:
        return None
    think = f"{_bar_key(x)} {a.value} {_bar_key(y)} {b.value}: {a.value} - {b.value} = {a.value - b.value}"
    return question(rng, scene, "bar difference", "bar_difference", think, str(a.value - b.value), 3, x=x, y=y)


def ask_bar_sum(scene: Scene, rng: np.random.Generator) -> Question | None:
    (a, x), (b, y) = _two_bars(scene, rng)
    think = f"{_bar_key(x)} {a.value} {_bar_key(y)} {b.value}: {a.value} + {b.value} = {a.value + b.value}"
    return question(rng, scene, "bar sum", "bar_sum", think, str(a.value + b.value), 3, x=x, y=y)


def ask_bar_count(scene: Scene, rng: np.random.Generator) -> Question | None:
    higher, limit = rng.random() < 0.5, whole(rng, 2, 8)
    than = pick(rng, ["higher than", "taller than", "above"] if higher else ["lower than", "shorter than", "below"])
    count = running([lambda item: item.value > limit if higher else item.value < limit])
    parts = [f"{item.word} {item.value} {count(item)}" for item in scene.items]
    answer = parts[-1].split()[-1]
    think = f"{'above' if higher else 'below'} {limit}: " + " ".join(parts)
    return question(rng, scene, "bar count", "bar_count", think, answer, 2 * len(parts), than=than, v=limit)


def ask_sign(scene: Scene, rng: np.random.Generator) -> Question | None:
    item = pick(rng, scene.items)
    if len(scene.items) == 1:
        return question(rng, scene, "sign", "sign", f"{at(item)} {item.word}", item.word, 1, SIGN_WORDS)
    think = f"{item.colour}: {at(item)} {item.word}"
    return question(rng, scene, "sign", "sign_colour", think, item.word, 1, SIGN_WORDS, colour=item.colour)


OBJECT_TASKS = [(ask_what, 2), (ask_colour, 3), (ask_exists, 2), (ask_count, 3), (ask_compare, 4), (ask_neighbour, 3), (ask_side, 2)]
TASKS = {
    "shapes": OBJECT_TASKS,
    "things": OBJECT_TASKS,
    "mixed": OBJECT_TASKS,
    "numbers": [(ask_read, 2), (ask_sum, 3), (ask_difference, 3), (ask_largest, 2)],
    "bars": [(ask_bar_value, 3), (ask_bar_extreme, 3), (ask_bar_difference, 2), (ask_bar_sum, 2), (ask_bar_count, 2)],
    "signs": [(ask_sign, 1)],
}


def ask(scene: Scene, rng: np.random.Generator, n: int) -> list[Question]:
    """n questions about the scene (about 0.1 ms for 5), tasks drawn by weight among those it allows."""
    tasks = [task for task, weight in TASKS[scene.kind] for _ in range(weight)]
    found: list[Question] = []
    for attempt in range(100 * n):
        made = pick(rng, tasks)(scene, rng)
        # The same question twice teaches nothing, but a picture of one sign has little to ask about.
        if made and (attempt > 4 * n or all(made.text != other.text for other in found)):
            found.append(made)
            if len(found) == n:
                break
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--scenes", type=int, default=2000)
    parser.add_argument("--examples", type=int, default=3)
    args = parser.parse_args()
    start, answers, lengths, examples = time.perf_counter(), {}, {}, {}
    for i in range(args.scenes):
        rng = rng_for("train", i)
        scene = sample_scene(rng, "train", rng.random())
        for q in ask(scene, rng, 5):
            answers.setdefault(q.task, Counter())[q.answer] += 1
            lengths.setdefault(q.task, []).append(len(q.think.split()))
            examples.setdefault(q.task, []).append(q)
    print(f"{(time.perf_counter() - start) / args.scenes * 1e3:.2f} ms per scene with 5 questions")
    for task, counter in sorted(answers.items()):
        total = sum(counter.values())
        top = ", ".join(f"{a} {c / total:.2f}" for a, c in counter.most_common(14))
        print(f"\n{task}: {total}, think words mean {np.mean(lengths[task]):.1f} max {max(lengths[task])}\n  {top}")
        for q in examples[task][: args.examples]:
            print(f"  {q.text} <think>{q.think}</think><answer>{q.answer}</answer>")


if __name__ == "__main__":
    main()
