"""Questions about a scene, with a short reasoning and the answer.

    python -m training.questions --scenes 2000        # balance of answers, lengths, examples
"""

import argparse
import time
from collections import Counter

import numpy as np

from training.looks import anchor, back, of
from training.phrasings import SIDES
from training.reasoning import (
    BY_COLUMN, Question, add_in_columns, asked, at, best_so_far, holds, listing, near, plural_name, question, running, singular_name,
    subtract_in_columns, tested, unique_conditions, with_article,
)  # fmt: skip
from training.world import COLOURS, SHAPES, SIGN_WORDS, THINGS, Item, Scene, pick, rng_for, sample_scene, some, whole

STEP = {"left": (0, -1), "right": (0, 1), "above": (-1, 0), "below": (1, 0)}


# Tasks: each returns a question or None where the scene does not allow it -----------------------------


def ask_what(scene: Scene, rng: np.random.Generator) -> Question | None:
    items, (rows, cols) = scene.items, scene.layout
    options = SHAPES if scene.kind == "shapes" else THINGS if scene.kind == "things" else SHAPES + THINGS
    if len(items) == 1:
        item = items[0]
        return question(rng, scene, "what", "what_only", f"{at(item)} {of(item, item.word)}", of(item, item.word), 1, options)
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
    return question(rng, scene, "what", phrasing, f"{start}{at(item)} {of(item, item.word)}", of(item, item.word), 1, options, **words)


def ask_colour(scene: Scene, rng: np.random.Generator) -> Question | None:
    shapes = [item for item in scene.items if item.colour]
    by_word = Counter(item.word for item in shapes)
    shapes = [item for item in shapes if by_word[item.word] == 1]
    if not shapes:
        return None
    item = pick(rng, shapes)
    think = f"{item.word}: {at(item)} {of(item, item.colour)}"
    return question(rng, scene, "colour", "colour", think, of(item, item.colour), 1, COLOURS, ref=item.word)


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
    # The best candidate: the first item that meets it, else the first of the same kind, else the first.
    same_kind = (item for item in scene.items if item.word == condition[1])
    best = next((item for item in scene.items if holds(condition, item)), None) or next(same_kind, scene.items[0])
    think = f"{asked(condition)}: {at(best)} {tested(condition, best)}{anchor(1)}"
    answer = back(0, "yes") if wanted else back(1, "no")
    return question(rng, scene, "exists", "exists", think, answer, 1, a=with_article(condition))


def ask_count(scene: Scene, rng: np.random.Generator) -> Question | None:
    """Draws the count first, nearly uniformly, then a condition that has it."""
    by_count: dict[int, list] = {}
    anything = [("", "")] if rng.random() < 0.2 else []
    for condition in _conditions(scene, rng) + anything:
        n = sum(holds(condition, item) for item in scene.items)
        if n <= 9:
            by_count.setdefault(n, []).append(condition)
    if not by_count:
        return None
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
    think = f"{asked(condition)}: {list_text}"
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
    think = f"{asked(x, y)}: {list_text}"
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
    think = f"{name}: {at(item)} {side} {at(other)} {of(other, other.word)}"
    options = SHAPES if scene.kind == "shapes" else THINGS if scene.kind == "things" else SHAPES + THINGS
    return question(rng, scene, "neighbour", "neighbour", think, of(other, other.word), 2, options, side=pick(rng, SIDES[side]), ref=name)


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
    found_x, found_y = (of(item, f"{letter}{getattr(item, axis)}") for item in (a, b))
    # Where x lies, then what was asked: the answer is whether the last two words are the same.
    lies = ("left" if before else "right") if axis == "col" else ("above" if before else "below")
    think = f"{name_x} {found_x} {name_y} {found_y}: {lies}{anchor(0)} {side}{anchor(1)}"
    answer = back(0, "yes") if yes else back(1, "no")
    words = {"x": name_x, "y": name_y, "side": pick(rng, SIDES[side])}
    return question(rng, scene, "side", "side", think, answer, 3, **words)


def ask_read(scene: Scene, rng: np.random.Generator) -> Question | None:
    options = [str(n) for n in some(rng, range(100), 6)]
    item = pick(rng, scene.items)
    if len(scene.items) == 1:
        return question(rng, scene, "read", "read", f"{at(item)} {of(item, item.word)}", of(item, item.word), 1, options)
    think = f"{item.colour}: {at(item)} {of(item, item.word)}"
    options += [other.word for other in scene.items]
    return question(rng, scene, "read", "read_colour", think, of(item, item.word), 1, sorted(set(options)), colour=item.colour)


def ask_sum(scene: Scene, rng: np.random.Generator) -> Question | None:
    if len(scene.items) != 2:
        return None
    a, b = some(rng, scene.items, 2) if rng.random() < BY_COLUMN else scene.items
    total = a.value + b.value
    think = f"{at(a)} {of(a, a.word)} {at(b)} {of(b, b.word)}: " + add_in_columns(a, b)
    return question(rng, scene, "sum", "sum", think, str(total), 4, near(rng, total))


def ask_difference(scene: Scene, rng: np.random.Generator) -> Question | None:
    if len(scene.items) != 2 or scene.items[0].value == scene.items[1].value:
        return None
    a, b = scene.items
    x, y = (a, b) if a.value > b.value else (b, a)
    think = f"{at(a)} {of(a, a.word)} {at(b)} {of(b, b.word)}: {of(x, x.word)} - {of(y, y.word)}: " + subtract_in_columns(x, y)
    difference = x.value - y.value
    return question(rng, scene, "difference", "difference", think, str(difference), 5, near(rng, difference))


def ask_largest(scene: Scene, rng: np.random.Generator) -> Question | None:
    if len(scene.items) < 2 or len({item.value for item in scene.items}) < len(scene.items):
        return None
    largest = rng.random() < 0.5
    best = max if largest else min
    most = pick(rng, ["largest", "biggest", "highest"] if largest else ["smallest", "lowest"])
    so_far: list[Item] = []

    def says(item: Item) -> str:
        so_far.append(item)
        winner = best(so_far, key=lambda one: one.value)
        return f"{of(item, item.word)} {of(winner, winner.word)}"

    think = listing(rng, scene.items, says)
    winner = best(scene.items, key=lambda item: item.value)
    return question(rng, scene, "largest", "largest", think, of(winner, winner.word), 2 * len(scene.items), most=most)


def _bar_names(scene: Scene, rng: np.random.Generator) -> list[str]:
    """How bars and points are called: "bar A", or by colour where the colours differ."""
    colours = {item.colour for item in scene.items}
    if len(colours) == len(scene.items) and rng.random() < 0.4:
        return [f"the {item.colour} bar" for item in scene.items]
    return [f"{item.family} {item.word}" for item in scene.items]


def _bar_key(name: str) -> str:
    """The word that finds the bar or point: its label or its colour."""
    return name.removeprefix("the ").removesuffix(" bar").removeprefix("bar ").removeprefix("point ")


def ask_bar_value(scene: Scene, rng: np.random.Generator) -> Question | None:
    names = _bar_names(scene, rng)
    item, name = pick(rng, list(zip(scene.items, names)))
    options = [str(v) for v in range(1, 10)] if name.startswith("the") else None  # letters would be taken for labels
    return question(rng, scene, "bar value", "bar_value", f"{_bar_key(name)} {of(item, item.value)}", of(item, item.value), 1, options, bar=name)


def ask_point_value(scene: Scene, rng: np.random.Generator) -> Question | None:
    item = pick(rng, scene.items)
    words = {"point": f"point {item.word}", "x": item.word}
    return question(rng, scene, "line value", "point_value", f"{item.word} {of(item, item.value)}", of(item, item.value), 1, **words)


def ask_bar_extreme(scene: Scene, rng: np.random.Generator) -> Question | None:
    line = scene.kind == "lines"
    tallest = rng.random() < 0.5
    best = max if tallest else min
    values = [item.value for item in scene.items]
    if values.count(best(values)) > 1:
        return None
    most = pick(rng, ["tallest", "highest", "largest"] if tallest else ["shortest", "lowest", "smallest"])
    if line:
        most = "highest" if tallest else "lowest"
    think, winner = best_so_far(scene.items, best, lambda item: item.word, lambda item: item.value)
    task, phrasing = ("line extreme", "point_extreme") if line else ("bar extreme", "bar_extreme")
    return question(rng, scene, task, phrasing, think, of(winner, winner.word), 2 * len(values), most=most)


def _two_bars(scene: Scene, rng: np.random.Generator):
    names = _bar_names(scene, rng)
    return some(rng, list(zip(scene.items, names)), 2)


def _two_values(a: Item, x: str, b: Item, y: str) -> str:
    return f"{_bar_key(x)} {of(a, a.value)} {_bar_key(y)} {of(b, b.value)}: {of(a, a.value)}"


def ask_bar_difference(scene: Scene, rng: np.random.Generator) -> Question | None:
    (a, x), (b, y) = _two_bars(scene, rng)
    if a.value < b.value:
        (a, x), (b, y) = (b, y), (a, x)
    if a.value == b.value:
        return None
    think = f"{_two_values(a, x, b, y)} - {of(b, b.value)} = {a.value - b.value}"
    task, phrasing = ("line difference", "point_difference") if scene.kind == "lines" else ("bar difference", "bar_difference")
    return question(rng, scene, task, phrasing, think, str(a.value - b.value), 3, x=x, y=y)


def ask_bar_sum(scene: Scene, rng: np.random.Generator) -> Question | None:
    (a, x), (b, y) = _two_bars(scene, rng)
    think = f"{_two_values(a, x, b, y)} + {of(b, b.value)} = {a.value + b.value}"
    return question(rng, scene, "bar sum", "bar_sum", think, str(a.value + b.value), 3, x=x, y=y)


def ask_bar_count(scene: Scene, rng: np.random.Generator) -> Question | None:
    higher, limit = rng.random() < 0.5, whole(rng, 2, 8)
    than = pick(rng, ["higher than", "taller than", "above"] if higher else ["lower than", "shorter than", "below"])
    count = running([lambda item: item.value > limit if higher else item.value < limit])
    parts = [f"{of(item, item.word)} {of(item, item.value)} {count(item)}" for item in scene.items]
    think = f"{'above' if higher else 'below'} {limit}{anchor(0)}: " + " ".join(parts)
    total = sum(item.value > limit if higher else item.value < limit for item in scene.items)
    return question(rng, scene, "bar count", "bar_count", think, str(total), 2 * len(parts), than=than, v=limit)


def ask_pie_value(scene: Scene, rng: np.random.Generator) -> Question | None:
    item, options = pick(rng, scene.items), [str(n) for n in range(10, 100, 10)]
    think = f"{item.colour} {of(item, item.word)}"
    return question(rng, scene, "pie value", "pie_value", think, of(item, item.word), 1, options, colour=item.colour)


def ask_pie_extreme(scene: Scene, rng: np.random.Generator) -> Question | None:
    largest = rng.random() < 0.5
    best, most = (max, pick(rng, ["largest", "biggest"])) if largest else (min, "smallest")
    values = [item.value for item in scene.items]
    if values.count(best(values)) > 1:
        return None
    think, winner = best_so_far(scene.items, best, lambda item: item.colour, lambda item: item.word)
    answer = of(winner, winner.colour)
    return question(rng, scene, "pie extreme", "pie_extreme", think, answer, 2 * len(values), COLOURS, most=most)


def ask_pie_sum(scene: Scene, rng: np.random.Generator) -> Question | None:
    if len(scene.items) == 2:
        return None
    a, b = some(rng, scene.items, 2)
    think = f"{a.colour} {of(a, a.word)} {b.colour} {of(b, b.word)}: {of(a, a.word)} + {of(b, b.word)} = {a.value + b.value}"
    return question(rng, scene, "pie sum", "pie_sum", think, str(a.value + b.value), 3, x=a.colour, y=b.colour)


def ask_sign(scene: Scene, rng: np.random.Generator) -> Question | None:
    item = pick(rng, scene.items)
    if len(scene.items) == 1:
        return question(rng, scene, "sign", "sign", f"{at(item)} {of(item, item.word)}", of(item, item.word), 1, SIGN_WORDS)
    think = f"{item.colour}: {at(item)} {of(item, item.word)}"
    return question(rng, scene, "sign", "sign_colour", think, of(item, item.word), 1, SIGN_WORDS, colour=item.colour)


OBJECT_TASKS = [(ask_what, 2), (ask_colour, 3), (ask_exists, 2), (ask_count, 3), (ask_compare, 4), (ask_neighbour, 3), (ask_side, 2)]
TASKS = {
    "shapes": OBJECT_TASKS,
    "things": OBJECT_TASKS,
    "mixed": OBJECT_TASKS,
    "numbers": [(ask_read, 2), (ask_sum, 3), (ask_difference, 3), (ask_largest, 2)],
    "bars": [(ask_bar_value, 3), (ask_bar_extreme, 3), (ask_bar_difference, 2), (ask_bar_sum, 2), (ask_bar_count, 2)],
    "lines": [(ask_point_value, 3), (ask_bar_extreme, 3), (ask_bar_difference, 2)],
    "pies": [(ask_pie_value, 3), (ask_pie_extreme, 3), (ask_pie_sum, 2)],
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
