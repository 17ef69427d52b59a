"""The world of the embedded model: scenes of items on a layout grid, sampled without pixels.

Data flow: sample_scene (what is where) -> token_words (words per visual token), questions.ask
(questions, reasoning, answers) and render.render (pixels, from the sprites of atlas.py).

A visual token is 28x28 px (patch 14, spatial merge 2). Items stand on a coarse layout grid whose
cells are two tokens apart, and the centre of an item always lies well inside one visual token. That
centre token alone carries the words of the item, however large the item is: one item, one token.
Layout row and column of a token: r = (token row + 1) // 2, c = (token column + 1) // 2, from 1.
"""

from dataclasses import dataclass, field

import numpy as np

TOKEN_PX = 28
SHAPES = ["circle", "square", "triangle", "star", "heart", "diamond", "cross", "moon"]
THINGS = [
    "cat", "dog", "horse", "rabbit", "bird", "fish", "frog", "turtle", "butterfly", "elephant",
    "apple", "banana", "cherry", "strawberry", "carrot", "pizza",
    "car", "bus", "bike", "plane", "boat", "rocket",
    "key", "clock", "umbrella", "book", "cup", "bell", "guitar", "house", "tree", "flower",
]  # fmt: skip
COLOURS = ["red", "orange", "yellow", "green", "blue", "purple", "pink", "black"]
INK_COLOURS = [c for c in COLOURS if c not in ("yellow", "pink")]  # too pale for thin digits on light paper
SIGN_WORDS = [
    "stop", "go", "open", "exit", "sale", "push", "pull", "hot", "cold", "taxi",
    "hotel", "cafe", "free", "new", "shop", "park", "help", "home", "menu", "post",
]  # fmt: skip
BAR_LABELS = "ABCDEFGH"
MAX_OBJECTS = 15
TRAIN_STYLES = ["twemoji", "noto", "emojione", "fxemoji"]
NEW_STYLE = "fluent-emoji-flat"  # never trained on: the evaluation of generalisation

# Disjoint seed ranges. "newstyle" shares no seed with the others either and draws with NEW_STYLE.
SEED_RANGE = 1 << 40
SPLITS = {"train": 0, "calibration": 1, "heldout": 2, "newstyle": 3}
# Pies are drawn and asked about, but stay out until the vision tower reads their angles (LOG.md).
SCENE_SHARES = {
    "shapes": 0.22, "things": 0.16, "mixed": 0.14, "numbers": 0.21, "bars": 0.16, "signs": 0.05, "lines": 0.06, "pies": 0.0,
}  # fmt: skip
# Crowded scenes: as many items as a picture holds, for the vision tower, which is asked about all of them at once.
CROWDED_SHARES = {
    "shapes": 0.1, "things": 0.14, "mixed": 0.07, "numbers": 0.18, "bars": 0.05, "signs": 0.23, "lines": 0.09, "pies": 0.14,
}  # fmt: skip
CHARTS = ("bar", "point", "slice")  # families of their items


@dataclass(slots=True)
class Item:
    family: str  # "shape" | "thing" | "number" | "sign" | "bar" | "point" (of a line) | "slice" (of a pie)
    word: str  # kind, digits, sign word, label of a bar or point, percentage of a slice
    colour: str  # "" for things, which have their natural colours
    row: int  # layout row and column, from 1 (a bar or point has row 1 and column = its index)
    col: int
    token: tuple[int, int]  # visual token (row, column) that carries the words
    cx: float  # centre, px
    cy: float
    size: float  # px: side of a drawing, digit height, bar width
    value: int = 0  # number, value of a bar or point, percentage
    style: str = ""  # pictogram style

    def words(self) -> list[str]:
        """Vocabulary tokens that describe the item, with their leading space: [" red", " star"].

        The digits of 47 are " 4" and "7": with the pre-tokenizer splitting ` ?digit`, the tens carry
        the space and the ones do not, so that a bag of words keeps their order.
        """
        if self.family == "number":
            return [" " + self.colour, " " + self.word[0], *self.word[1:]]
        if self.family == "slice":
            return [" bar", " " + self.colour, " " + self.word[0], *self.word[1:]]
        if self.family in CHARTS:  # " bar" stands for every mark of a chart
            return [" bar", " " + self.word, " " + self.colour, f" {self.value}"]
        return ([" " + self.colour] if self.colour else []) + [" " + self.word]


@dataclass
class Scene:
    kind: str  # a key of SCENE_SHARES
    width: int  # px, multiples of 28
    height: int
    items: list[Item]  # raster order of the layout grid
    layout: tuple[int, int]  # layout rows and columns that could hold an item (0, 0 for bars)
    hard: float  # 0..1
    knobs: dict = field(default_factory=dict)  # what render needs beyond the items


def rng_for(split: str, index: int) -> np.random.Generator:
    """The generator of scene `index` of a split; index < SEED_RANGE keeps the splits disjoint."""
    if not 0 <= index < SEED_RANGE:
        raise ValueError(f"scene index {index} is outside 0..{SEED_RANGE - 1}")
    return np.random.default_rng(SPLITS[split] * SEED_RANGE + index)


def pick(rng: np.random.Generator, options):
    return options[int(rng.random() * len(options))]


def between(rng: np.random.Generator, low: float, high: float) -> float:
    return low + (high - low) * rng.random()


def whole(rng: np.random.Generator, low: int, high: int) -> int:
    """Uniform integer in low..high, both included."""
    return low + int(rng.random() * (high - low + 1))


def some(rng: np.random.Generator, options, n: int) -> list:
    """n different options in random order."""
    pool = list(options)
    for i in range(n):
        j = i + int(rng.random() * (len(pool) - i))
        pool[i], pool[j] = pool[j], pool[i]
    return pool[:n]


def sample_scene(rng: np.random.Generator, split: str, hard: float, kind: str | None = None, crowded=False) -> Scene:
    """Draws a scene without pixels (about 0.2 ms). `hard` 0..1 raises the number of items, shrinks
    them and adds noise, clutter and occlusion. `kind` fixes the scene kind (else SCENE_SHARES, or
    CROWDED_SHARES)."""
    if split not in SPLITS:
        raise ValueError(f"unknown split {split!r}: expected one of {', '.join(SPLITS)}")
    if kind is None:
        shares = CROWDED_SHARES if crowded else SCENE_SHARES
        ticket = rng.random() * sum(shares.values())
        for kind, share in shares.items():
            ticket -= share
            if ticket < 0:
                break
    make = {"numbers": _numbers, "bars": _bars, "lines": _bars, "pies": _pies, "signs": _signs}.get(kind, _objects)
    scene = make(rng, kind, hard, crowded)
    scene.items.sort(key=lambda item: (item.row, item.col))
    styles = [NEW_STYLE] if split == "newstyle" else TRAIN_STYLES
    style = pick(rng, styles)
    for item in scene.items:  # one style per picture, sometimes mixed
        item.style = pick(rng, styles) if rng.random() < 0.15 else style
    scene.knobs |= _disturbances(rng, hard)
    # Dark paper only where nothing is drawn in a dark ink.
    scene.knobs["dark"] = rng.random() < 0.15 and not any(item.colour in ("black", "blue", "purple") or item.family in CHARTS for item in scene.items)
    return scene


def _disturbances(rng: np.random.Generator, hard: float) -> dict:
    """Drawing knobs that grow with `hard`, each on in part of the pictures only."""
    on = lambda share: rng.random() < share  # noqa: E731
    return {
        "noise": between(rng, 0, 26) * hard if on(0.7) else 0.0,  # standard deviation, of 255
        "clutter": whole(rng, 2, 4 + int(14 * hard)) if on(0.15 + 0.5 * hard) else 0,  # background strokes
        "occlusion": between(rng, 0.08, 0.10 + 0.28 * hard) if on(0.45 * hard) else 0.0,  # share of an item
        "fade": between(rng, 0, 0.45) * hard if on(0.5) else 0.0,  # loss of contrast
        "blur": on(0.25 * hard),
    }


def _side(rng: np.random.Generator, least: int) -> int:
    """Visual tokens along one side: 8-16 (224-448 px), the smaller more often."""
    return max(pick(rng, (8, 8, 8, 8, 9, 9, 10, 10, 11, 12, 14, 16)), least)


def _axis(rng: np.random.Generator, side: int) -> list[int]:
    """Token indices of the layout rows (or columns) along a side: two apart, half a cell of margin."""
    first = 1 if side % 2 else pick(rng, (1, 2))
    return list(range(first, side - 1, 2))


def _spots(rng: np.random.Generator, n: int, hard: float):
    """Size of the picture in tokens, layout axes and n layout cells (row token, column token)."""
    rows, cols = _side(rng, 5), _side(rng, 5)
    while ((rows - 1) // 2) * ((cols - 1) // 2) < n:
        if rows <= cols:
            rows += 1
        else:
            cols += 1
    axis_r, axis_c = _axis(rng, rows), _axis(rng, cols)
    cells = some(rng, [(r, c) for r in axis_r for c in axis_c], n)
    return rows, cols, axis_r, axis_c, cells


def _place(rng: np.random.Generator, family: str, word: str, colour: str, spot, size: float, value=0) -> Item:
    """An item centred in its token, jittered by as much as its size and the token's edges allow."""
    slack = min(10.0, max(2.0, (56 - size) / 2))
    cx = (spot[1] + 0.5) * TOKEN_PX + between(rng, -slack, slack)
    cy = (spot[0] + 0.5) * TOKEN_PX + between(rng, -slack, slack)
    return Item(family, word, colour, (spot[0] + 1) // 2, (spot[1] + 1) // 2, spot, cx, cy, size, value)


def _item_size(rng: np.random.Generator, hard: float) -> float:
    return between(rng, 40 - 18 * hard, 54 - 10 * hard)


def _objects(rng: np.random.Generator, kind: str, hard: float, crowded: bool) -> Scene:
    if rng.random() < 0.08:
        return _large_objects(rng, kind, hard)
    n = whole(rng, 9, MAX_OBJECTS) if crowded else whole(rng, 1, 3 + int((MAX_OBJECTS - 3) * hard + 0.5))
    rows, cols, axis_r, axis_c, cells = _spots(rng, n, hard)
    board = rng.random() < 0.35
    # One kind and one colour get a number of items drawn uniformly, so that every count from 0 to 9
    # is asked for about equally often; the others come from a small pool or are anything.
    families = {"shapes": ["shape"], "things": ["thing"], "mixed": ["shape", "thing"]}[kind]
    pool = [_new_kind(rng, families) for _ in range(whole(rng, 1, 3))]
    colour_pool = some(rng, COLOURS, whole(rng, 1, 4))
    kind_focus, colour_focus = (whole(rng, 0, min(n, 10)) for _ in range(2))
    colour_order = some(rng, range(n), n)
    repeat, repeat_colour = rng.random(), rng.random()
    items = []
    for i, spot in enumerate(cells):
        pooled = pool[0] if i < kind_focus else pick(rng, pool) if rng.random() < repeat else None
        family, word = pooled or _new_kind(rng, families)
        colour = ""
        if family == "shape":
            focus = colour_order[i] < colour_focus
            colour = pick(rng, colour_pool[:1] if focus else colour_pool if rng.random() < repeat_colour else COLOURS)
        items.append(_place(rng, family, word, colour, spot, _item_size(rng, hard)))
    return _scene(kind, rows, cols, items, (len(axis_r), len(axis_c)), hard, {"board": board, "axes": (axis_r, axis_c)})


def _large_objects(rng: np.random.Generator, kind: str, hard: float) -> Scene:
    """One to four drawings of 60-108 px, four tokens apart."""
    down, across = whole(rng, 1, 2), whole(rng, 1, 2)
    rows, cols = (max(8, 5 + 4 * (n - 1) + whole(rng, 0, 4)) for n in (down, across))
    top, left = whole(rng, 2, rows - 3 - 4 * (down - 1)), whole(rng, 2, cols - 3 - 4 * (across - 1))
    families = {"shapes": ["shape"], "things": ["thing"], "mixed": ["shape", "thing"]}[kind]
    items = []
    for i in range(down * across):
        family, word = _new_kind(rng, families)
        colour = pick(rng, COLOURS) if family == "shape" else ""
        spot = (top + 4 * (i // across), left + 4 * (i % across))
        items.append(_place(rng, family, word, colour, spot, between(rng, 60, 108 - 20 * hard)))
    return _scene(kind, rows, cols, items, (0, 0), hard, {})


def _new_kind(rng: np.random.Generator, families: list[str]) -> tuple[str, str]:
    family = pick(rng, families)
    return family, pick(rng, SHAPES if family == "shape" else THINGS)


def _numbers(rng: np.random.Generator, kind: str, hard: float, crowded: bool) -> Scene:
    """One number to read, two to add or subtract (sum at most 99), or three to six to search."""
    ticket = rng.random()
    n = 1 if ticket < 0.08 else 2 if ticket < 0.45 else whole(rng, 3, 4 + int(2 * hard + 0.5))
    n = whole(rng, 9, 12) if crowded else n
    top = 9 if rng.random() < 0.25 * (1 - hard) + 0.05 and not crowded else 99
    first = whole(rng, 0, top)
    values = [first, whole(rng, 0, min(top, 99 - first))] if n == 2 else []
    while len(values) < n:
        value = whole(rng, 0, top)
        if value not in values:
            values.append(value)
    rows, cols, axis_r, axis_c, cells = _spots(rng, n, hard)
    values = some(rng, values, n)
    colours = [pick(rng, INK_COLOURS) for _ in values] if crowded else some(rng, INK_COLOURS, n)
    items = [
        _place(rng, "number", str(v), colour, spot, between(rng, 30 - 12 * hard, 40 - 12 * hard), v)
        for v, colour, spot in zip(values, colours, cells)
    ]
    return _scene(kind, rows, cols, items, (len(axis_r), len(axis_c)), hard, {"axes": (axis_r, axis_c)})


def _bars(rng: np.random.Generator, kind: str, hard: float, crowded: bool) -> Scene:
    """Two to eight bars A, B, C, ... with values 1-9 on an axis from 0 to 10, or as many points of a line.
    The words of a bar or point are at the token of its label, under it."""
    n = whole(rng, 4, 8) if crowded else whole(rng, 2, 3 + int(4 * hard + 0.5))
    step = 2 if n <= 4 and rng.random() < 0.6 else 1
    cols = max(_side(rng, 6), 3 + (n - 1) * step)
    rows = _side(rng, 6)
    left = whole(rng, 1, cols - 2 - (n - 1) * step)
    values = some(rng, range(1, 10), n) if rng.random() < 0.75 else [whole(rng, 1, 9) for _ in range(n)]
    colours = some(rng, COLOURS, n) if rng.random() < 0.6 and kind == "bars" else [pick(rng, COLOURS)] * n
    shift, width = between(rng, -3, 7), between(rng, 15, 23) if step == 1 else between(rng, 18, 32)
    items = []
    for i in range(n):
        spot = (rows - 1, left + i * step)
        cx, cy = (spot[1] + 0.5) * TOKEN_PX + shift, (rows - 0.5) * TOKEN_PX
        items.append(Item(kind.removesuffix("s").replace("line", "point"), BAR_LABELS[i], colours[i], 1, i + 1, spot, cx, cy, width, values[i]))
    return _scene(kind, rows, cols, items, (0, 0), hard, {"print_values": rng.random() < 0.25 * (1 - hard)})


def _pies(rng: np.random.Generator, kind: str, hard: float, crowded: bool) -> Scene:
    """A pie of two to five slices, each a multiple of 10 %. The words of a slice are at the token of its
    middle, at 0.66 of the radius."""
    n = whole(rng, 4, 5) if crowded else whole(rng, 2, 3 + int(2 * hard + 0.5))
    while True:  # until every slice has a token of its own
        rows, cols = _side(rng, 8), _side(rng, 8)
        radius = between(rng, 0.37, 0.45) * min(rows, cols) * TOKEN_PX
        cx, cy = (between(rng, radius + 6, side * TOKEN_PX - radius - 6) for side in (cols, rows))
        cuts = [0, *sorted(some(rng, range(1, 10), n - 1)), 10]
        start, items = rng.random() * 360, []
        for colour, a, b in zip(some(rng, COLOURS, n), cuts, cuts[1:]):
            angle = np.radians(start + 18 * (a + b))
            x, y = (_inside(c + 0.66 * radius * f(angle)) for c, f in ((cx, np.cos), (cy, np.sin)))
            spot = (int(y // TOKEN_PX), int(x // TOKEN_PX))
            items.append(Item("slice", str(10 * (b - a)), colour, (spot[0] + 1) // 2, (spot[1] + 1) // 2, spot, x, y, radius, 10 * (b - a)))
        if len({item.token for item in items}) == n:
            knobs = {"centre": (cx, cy), "slices": [(item.colour, start + 36 * a, start + 36 * b) for item, a, b in zip(items, cuts, cuts[1:])]}
            return _scene(kind, rows, cols, items, (0, 0), hard, knobs)


def _inside(at: float) -> float:
    """The nearest place that is well inside a visual token, px."""
    token = at // TOKEN_PX * TOKEN_PX
    return float(min(max(at, token + 4), token + TOKEN_PX - 4))


def _signs(rng: np.random.Generator, kind: str, hard: float, crowded: bool) -> Scene:
    """One to three plates with a short word, one under the other."""
    n = whole(rng, 4, 6) if crowded else whole(rng, 1, 2 + int(hard + 0.5))
    rows, cols = _side(rng, 2 * n + 1), max(7, _side(rng, 7))
    axis_r, axis_c = _axis(rng, rows), _axis(rng, cols)
    words, colours = some(rng, SIGN_WORDS, n), some(rng, COLOURS, n)
    items = [
        _place(rng, "sign", word, colour, (r, pick(rng, axis_c[1:-1])), between(rng, 22 - 6 * hard, 30 - 6 * hard))
        for word, colour, r in zip(words, colours, some(rng, axis_r, n))
    ]
    return _scene(kind, rows, cols, items, (0, 0), hard, {})


def _scene(kind, rows, cols, items, layout, hard, knobs) -> Scene:
    return Scene(kind, cols * TOKEN_PX, rows * TOKEN_PX, items, layout, hard, knobs)


def token_words(scene: Scene) -> list[list[str]]:
    """For each visual token in raster order (rows * columns of them) the vocabulary tokens that
    describe the item centred there; [] where there is none. See Item.words."""
    cols = scene.width // TOKEN_PX
    words: list[list[str]] = [[] for _ in range(cols * (scene.height // TOKEN_PX))]
    for item in scene.items:
        words[item.token[0] * cols + item.token[1]] = item.words()
    return words
