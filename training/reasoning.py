"""What questions and short reasonings are made of; the tasks themselves are in questions.py.

Every reasoning can be computed token by token from the visual tokens: it begins with what is sought,
in the singular; positions are layout rows and columns ("r2 c3", see world.py), the row only where it
changes; where nothing fits, the first item is named (a look-up always finds something); when
counting, every item is listed in raster order with the tested attribute immediately
before the running count ("star: r1 c1 star 1 c4 square 1 r2 c2 star 2"). A part of the lists goes
column by column instead, so that sampled rollouts are different attempts.
"""

from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from training.looks import anchor, back, of, unmark
from training.phrasings import PHRASINGS, plural
from training.world import Item, pick, some, whole

BY_COLUMN = 0.3  # share of lists that go column by column
MULTIPLE_CHOICE = 0.2  # share of multiple choice where a task has it
LETTERS = "ABCD"


@dataclass(slots=True)
class Question:
    text: str
    think: str
    answer: str
    task: str
    steps: int  # items read plus operations done
    hard: float
    marks: dict = field(default_factory=dict)  # "text", "think", "answer" -> (spans, anchors), see looks.py


# Words for things and conditions -------------------------------------------------------------------
# A condition (colour, word) holds where both parts that are not "" match; ("", "") is any item.


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
    return of(item, f"r{item.row} c{item.col}")


def listing(rng: np.random.Generator, items: list[Item], says) -> str:
    """Lists the items row by row (or column by column); says(item) is called in that order."""
    by_column = rng.random() < BY_COLUMN
    if by_column:
        items = sorted(items, key=lambda item: (item.col, item.row))
    parts, line = [], 0
    for item in items:
        if by_column:
            if item.col != line:
                parts.append(of(item, f"c{item.col}"))
                line = item.col
            parts.append(of(item, f"r{item.row}"))
        else:
            if item.row != line:
                parts.append(of(item, f"r{item.row}"))
                line = item.row
            parts.append(of(item, f"c{item.col}"))
        parts.append(says(item))
    return " ".join(parts)


def tested(condition: tuple[str, str], item: Item) -> str:
    """The attribute that decides: the colour where one is asked (then the kind where the colour matched)."""
    colour, word = condition
    if not colour or not item.colour:
        return of(item, item.word) if word or colour else ""
    return of(item, f"{item.colour} {item.word}" if word and item.colour == colour else item.colour)


def asked(*conditions) -> str:
    """How the reasoning names what is sought; the conditions are anchors 0, 1, ..."""
    return " ".join(f"{singular_name(c) or 'all'}{anchor(i)}" for i, c in enumerate(conditions))


def running(conditions):
    """A function that returns the running counts joined, updated by each call: conditions is a list of
    functions item -> bool. A count looks at the condition (anchor i) where the item meets it, else at
    itself before."""
    totals, every, last = [0] * len(conditions), len(conditions), [0]

    def step(item: Item) -> str:
        parts = []
        for i, meets in enumerate(conditions):
            met, here = bool(meets(item)), 100 + last[0] * every + i
            totals[i] += met
            looked = i if met else here - every
            parts.append((back(looked, totals[i]) if met or last[0] else str(totals[i])) + anchor(here))
        last[0] += 1
        return " ".join(parts)

    return step


def best_so_far(items: list[Item], best, name, value) -> tuple[str, Item]:
    """Every item's name and value and the best value until then -> (reasoning, the best item); `best` is max or
    min, name and value give the words of an item."""
    parts, winner = [], items[0]
    for item in items:
        winner = best(winner, item, key=lambda one: one.value)
        parts.append(f"{of(item, name(item))} {of(item, value(item))} {of(winner, value(winner))}")
    return " ".join(parts), winner


def question(rng, scene, task, phrasing, think, answer, steps, options=None, **words) -> Question:
    """Fills a phrasing in; with `options` (wrong answers to draw from) a part becomes multiple choice.
    Reasoning and answer may carry marks (looks.py)."""
    text, plain = pick(rng, PHRASINGS[phrasing]).format(**words), unmark(answer)[0]
    if options is not None and rng.random() < MULTIPLE_CHOICE:
        wrong = [o for o in options if o != plain]
        n = min(whole(rng, 2, 3), len(wrong))
        choices = some(rng, [*some(rng, wrong, n), plain], n + 1)
        text += " " + " ".join(f"{letter}) {choice}{anchor(50 + i)}" for i, (letter, choice) in enumerate(zip(LETTERS, choices)))
        chosen = choices.index(plain)
        answer = back(50 + chosen, LETTERS[chosen])
    parts = {"text": unmark(text), "think": unmark(think), "answer": unmark(answer)}
    marks = {name: (spans, anchors) for name, (_, spans, anchors) in parts.items()}
    return Question(*(plain for plain, _, _ in parts.values()), task, steps, scene.hard, marks)


def near(rng: np.random.Generator, value: int) -> list[str]:
    """Wrong options round a result."""
    return [str(value + d) for d in (-10, -2, -1, 1, 2, 10) if 0 <= value + d <= 99]


def add_in_columns(x: Item, y: Item) -> str:
    """47 + 25: "7 + 5 = 12, 4 + 2 + 1 = 7"."""
    a, b = x.value, y.value
    ones, carry = a % 10 + b % 10, (a % 10 + b % 10) // 10
    text = f"{of(x, a % 10)} + {of(y, b % 10)} = {ones}"
    tens = [of(item, item.value // 10) for item in (x, y) if item.value >= 10] + ["1"] * carry
    if a < 10 and b < 10:
        return text
    return f"{text}, {' + '.join(tens)} = {a // 10 + b // 10 + carry}"


def subtract_in_columns(x: Item, y: Item) -> str:
    """52 - 27: "12 - 7 = 5, 5 - 2 - 1 = 2"."""
    a, b = x.value, y.value
    borrow = a % 10 < b % 10
    text = f"{of(x, a % 10 + 10 * borrow)} - {of(y, b % 10)} = {a % 10 + 10 * borrow - b % 10}"
    if a < 10:
        return text
    tens = [of(x, a // 10)] + ([of(y, b // 10)] if b >= 10 else []) + ["1"] * borrow
    return f"{text}, {' - '.join(tens)} = {a // 10 - b // 10 - borrow}"
