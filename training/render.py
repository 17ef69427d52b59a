"""Pictures of scenes, from the sprite atlases of atlas.py (run `python -m training.atlas` once).

    python -m training.render --out sheet.png --split heldout --hard 0.5 --kind mixed   # a contact sheet

Flow: background -> clutter -> board -> items (bars: chart) -> occluders -> fade, blur, noise.
All randomness comes from the generator handed in; about 2 ms for 224x224 px on one core.
"""

import argparse
import colorsys
from functools import cache, lru_cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from training.world import (
    NEW_STYLE, SCENE_SHARES, SPLITS, TOKEN_PX, TRAIN_STYLES, Item, Scene, between, pick, rng_for, sample_scene, whole,
)  # fmt: skip

CACHE = Path(__file__).parent / ".cache"
FONTS = [
    "roboto-400", "roboto-700", "merriweather-700", "nunito-400", "nunito-700", "fira-mono-400", "fira-mono-700", "pt-serif-700",
]  # fmt: skip
NEW_FONTS = ["open-sans-700", "oswald-400"]  # go with NEW_STYLE: never trained on

# Hue, saturation and value that people still call by the name, each low..high.
COLOUR_RANGES = {
    "red": ((0.97, 1.02), (0.78, 1.0), (0.75, 1.0)),
    "orange": ((0.06, 0.105), (0.8, 1.0), (0.9, 1.0)),
    "yellow": ((0.135, 0.17), (0.7, 1.0), (0.9, 1.0)),
    "green": ((0.27, 0.42), (0.5, 1.0), (0.45, 0.85)),
    "blue": ((0.55, 0.67), (0.6, 1.0), (0.55, 1.0)),
    "purple": ((0.74, 0.83), (0.5, 1.0), (0.45, 0.8)),
    "pink": ((0.88, 0.97), (0.25, 0.58), (0.95, 1.0)),
    "black": ((0.0, 1.0), (0.0, 0.2), (0.03, 0.15)),
}


@cache
def atlas(name: str) -> dict[str, np.ndarray]:
    """The sprites of atlas_{name}.npz, by key."""
    path = CACHE / f"atlas_{name}.npz"
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing: run `python -m training.atlas` once")
    with np.load(path) as archive:
        return {key: archive[key] for key in archive.files}


@cache
def variants(style: str, word: str) -> list[str]:
    return [key for key in atlas(style) if key.startswith(word + "/")]


@lru_cache(maxsize=6000)
def sprite(name: str, key: str, size: int, by_height: bool) -> Image.Image:
    """A sprite with its longer side (or its height) scaled to `size` px."""
    image = Image.fromarray(atlas(name)[key])
    scale = size / (image.height if by_height else max(image.size))
    return image.resize((max(1, round(image.width * scale)), max(1, round(image.height * scale))), Image.BOX if scale < 0.6 else Image.BILINEAR)


@cache
def noise_bank() -> np.ndarray:
    """Normal noise [640, 640, 3] from which pictures take a random crop: drawing it anew costs more than all the rest."""
    return np.random.default_rng(0).standard_normal((640, 640, 3), dtype=np.float32)


def shade(rng: np.random.Generator, colour: str) -> tuple[int, int, int]:
    (h0, h1), (s0, s1), (v0, v1) = COLOUR_RANGES[colour]
    red, green, blue = colorsys.hsv_to_rgb(between(rng, h0, h1) % 1.0, between(rng, s0, s1), between(rng, v0, v1))
    return round(255 * red), round(255 * green), round(255 * blue)


def muted(rng: np.random.Generator, low: float, high: float, saturation: float = 0.15) -> tuple[int, int, int]:
    red, green, blue = colorsys.hsv_to_rgb(rng.random(), between(rng, 0, saturation), between(rng, low, high))
    return round(255 * red), round(255 * green), round(255 * blue)


def render(scene: Scene, rng: np.random.Generator) -> np.ndarray:
    """The picture of a scene: uint8 [height, width, 3] RGB."""
    knobs = scene.knobs
    dark = knobs["dark"]
    canvas = Image.fromarray(_background(scene, rng, dark))
    pen = ImageDraw.Draw(canvas)
    for _ in range(knobs["clutter"]):
        _stroke(pen, scene, rng, dark)
    if knobs.get("board"):
        _board(pen, scene, rng, dark)
    unseen = bool(scene.items) and scene.items[0].style == NEW_STYLE
    font = pick(rng, NEW_FONTS if unseen else FONTS)
    if scene.kind in ("bars", "lines"):
        _chart(canvas, pen, scene, rng, font)
    elif scene.kind == "pies":
        _pie(pen, scene, rng)
    for item in scene.items:
        if item.family == "thing":
            _thing(canvas, item, rng)
        elif item.family == "shape":
            _shape(canvas, item, rng)
        elif item.family == "number":
            _number(canvas, item, rng, font, dark)
        elif item.family == "sign":
            _sign(canvas, item, rng, font)
    if knobs["occlusion"] and scene.kind not in ("bars", "lines", "pies"):
        for item in scene.items:
            if rng.random() < 0.6:
                share = knobs["occlusion"] * (0.5 if item.family in ("number", "sign") else 1)  # a digit's meaning hangs on every stroke
                _occlude(pen, item, share, muted(rng, 0.1, 0.35) if dark else muted(rng, 0.55, 0.9))
    if knobs["blur"]:
        canvas = canvas.filter(ImageFilter.BoxBlur(0.8))
    pixels = np.asarray(canvas)
    if not knobs["fade"] and not knobs["noise"]:
        return pixels.copy()
    pixels = pixels.astype(np.float32)
    if knobs["fade"]:
        mean = 40.0 if dark else 190.0
        pixels *= 1 - knobs["fade"]
        pixels += knobs["fade"] * mean
    if knobs["noise"]:
        y, x = whole(rng, 0, 640 - scene.height), whole(rng, 0, 640 - scene.width)
        pixels += knobs["noise"] * noise_bank()[y : y + scene.height, x : x + scene.width]
    return np.clip(pixels, 0, 255, out=pixels).astype(np.uint8)


def _background(scene: Scene, rng: np.random.Generator, dark: bool) -> np.ndarray:
    low, high = (0.05, 0.25) if dark else (0.8, 1.0)
    base = np.array(muted(rng, low, high), np.uint8)
    pixels = np.empty((scene.height, scene.width, 3), np.uint8)
    pixels[:] = base
    kind = rng.random()
    if kind < 0.45:
        return pixels  # plain
    other = np.array(muted(rng, low, high), np.float32)
    if kind < 0.65:  # gradient
        down = rng.random() < 0.5
        share = np.linspace(0, 1, scene.height if down else scene.width, dtype=np.float32)[:, None]
        ramp = (base + share * (other - base)).astype(np.uint8)
        pixels[:] = ramp[:, None] if down else ramp
        return pixels
    if kind < 0.8:  # stripes
        width, slope = whole(rng, 6, 40), pick(rng, ((1, 0), (0, 1), (1, 1), (1, -1)))
        y, x = np.ogrid[: scene.height, : scene.width]
        pixels[((y * slope[0] + x * slope[1]) // width) % 2 == 0] = (base * 0.5 + other * 0.5).astype(np.uint8)
        return pixels
    # soft blotches
    spots = rng.random((6, 6)) * 255
    share = np.asarray(Image.fromarray(spots.astype(np.uint8)).resize((scene.width, scene.height), Image.BICUBIC), np.float32)[..., None] / 255
    return (base * (1 - share) + other * share).astype(np.uint8)


def _stroke(pen: ImageDraw.ImageDraw, scene: Scene, rng: np.random.Generator, dark: bool) -> None:
    """A line, arc or outline of the clutter, behind the items and paler than they are."""
    colour = muted(rng, 0.2, 0.45, 0.35) if dark else muted(rng, 0.6, 0.9, 0.35)
    x, y = rng.random() * scene.width, rng.random() * scene.height
    length, width, kind = between(rng, 15, 90), whole(rng, 1, 5), rng.random()
    if kind < 0.5:
        angle = rng.random() * 2 * np.pi
        pen.line((x, y, x + length * np.cos(angle), y + length * np.sin(angle)), fill=colour, width=width)
    elif kind < 0.8:
        start = whole(rng, 0, 360)
        pen.arc((x, y, x + length, y + length * between(rng, 0.5, 1)), start, start + whole(rng, 60, 220), fill=colour, width=width)
    else:
        pen.polygon([(x + between(rng, -25, 25), y + between(rng, -25, 25)) for _ in range(4)], fill=colour)


def _board(pen: ImageDraw.ImageDraw, scene: Scene, rng: np.random.Generator, dark: bool) -> None:
    """Lines round the layout cells, so that rows and columns can be seen and named."""
    colour = muted(rng, 0.35, 0.5) if dark else muted(rng, 0.5, 0.75)
    ys, xs = ([TOKEN_PX * (t - 0.5) for t in axis] + [TOKEN_PX * (axis[-1] + 1.5)] for axis in scene.knobs["axes"])
    width = whole(rng, 1, 2)
    for y in ys:
        pen.line((xs[0], y, xs[-1], y), fill=colour, width=width)
    for x in xs:
        pen.line((x, ys[0], x, ys[-1]), fill=colour, width=width)


def _paste(canvas: Image.Image, image: Image.Image, mask: Image.Image, cx: float, cy: float) -> None:
    canvas.paste(image, (round(cx - mask.width / 2), round(cy - mask.height / 2)), mask)


def _turned(image: Image.Image, rng: np.random.Generator, most: float) -> Image.Image:
    """Rotated by up to `most` degrees either way; a part stays upright."""
    if rng.random() < 0.4:
        return image
    return image.rotate(between(rng, -most, most), Image.BILINEAR, expand=True)


def _thing(canvas: Image.Image, item: Item, rng: np.random.Generator) -> None:
    style = item.style if variants(item.style, item.word) else TRAIN_STYLES[0]
    image = sprite(style, pick(rng, variants(style, item.word)), round(item.size), False)
    if rng.random() < 0.5:
        image = image.transpose(Image.FLIP_LEFT_RIGHT)
    image = _turned(image, rng, 15)
    _paste(canvas, image.convert("RGB"), image.getchannel("A"), item.cx, item.cy)


def _shape(canvas: Image.Image, item: Item, rng: np.random.Generator) -> None:
    key, size = pick(rng, variants("shapes", item.word)), round(item.size)
    mask = sprite("shapes", key, size, False)
    if rng.random() < 0.5:
        mask = mask.transpose(Image.FLIP_LEFT_RIGHT)
    mask = _turned(mask, rng, 12)
    colour = shade(rng, item.colour)
    if rng.random() < 0.25:  # an outline: the shape in a darker colour, a smaller one on it
        edge = tuple(c // 2 for c in colour)
        _paste(canvas, Image.new("RGB", mask.size, edge), mask, item.cx, item.cy)
        mask = mask.resize((round(mask.width * 0.86), round(mask.height * 0.86)), Image.BILINEAR)
    _paste(canvas, Image.new("RGB", mask.size, colour), mask, item.cx, item.cy)


def _text(font: str, text: str, height: float) -> Image.Image:
    """Mask of digits side by side, or of one sign word or letter; `height` px for capitals and digits."""
    scale = height / 56
    if not text.isdigit():
        mask = atlas("fonts")[f"{font}/{text}"]
        return sprite("fonts", f"{font}/{text}", max(6, round(mask.shape[0] * scale)), True)
    digits = [sprite("fonts", f"{font}/{digit}", round(height), True) for digit in text]
    gap = max(1, round(height * 0.1))
    mask = Image.new("L", (sum(d.width for d in digits) + gap * (len(digits) - 1), max(d.height for d in digits)))
    x = 0
    for digit in digits:
        mask.paste(digit, (x, 0))
        x += digit.width + gap
    return mask


def _write(canvas: Image.Image, mask: Image.Image, colour: tuple[int, int, int], cx: float, cy: float) -> None:
    _paste(canvas, Image.new("RGB", mask.size, colour), mask, cx, cy)


def _number(canvas: Image.Image, item: Item, rng: np.random.Generator, font: str, dark: bool) -> None:
    colour = shade(rng, item.colour)
    _write(canvas, _turned(_text(font, item.word, item.size), rng, 8), colour, item.cx, item.cy)


def _sign(canvas: Image.Image, item: Item, rng: np.random.Generator, font: str) -> None:
    colour = shade(rng, item.colour)
    word = item.word.upper() if rng.random() < 0.5 else item.word
    mask = _text(font, word, item.size * 0.8)
    plate = Image.new("RGB", (mask.width + 16, mask.height + 14), colour)
    light = 0.3 * colour[0] + 0.59 * colour[1] + 0.11 * colour[2] < 140
    _write(plate, mask, (250, 250, 250) if light else (20, 20, 20), plate.width / 2, plate.height / 2)
    shape = Image.new("L", plate.size)
    ImageDraw.Draw(shape).rounded_rectangle((0, 0, plate.width - 1, plate.height - 1), whole(rng, 0, 8), fill=255)
    _paste(canvas, plate, shape, item.cx, item.cy)


def _chart(canvas: Image.Image, pen: ImageDraw.ImageDraw, scene: Scene, rng: np.random.Generator, font: str) -> None:
    """Bars, or a line through points, on an axis from 0 to 10 with a rule at every second unit, labels below."""
    base, top = scene.height - TOKEN_PX, 14
    unit = (base - top) / 10
    left = min(item.cx - item.size / 2 for item in scene.items) - 6
    right = max(item.cx + item.size / 2 for item in scene.items) + 8
    ink, grid = muted(rng, 0.1, 0.35), muted(rng, 0.65, 0.8)
    for value in range(0, 11, 2):
        y = base - value * unit
        pen.line((left, y, right, y), fill=ink if value == 0 else grid, width=1)
        mask = _text(font, str(value), 9)
        _write(canvas, mask, ink, left - mask.width / 2 - 3, y)
    pen.line((left, base, left, top), fill=ink, width=1)
    colours = {name: shade(rng, name) for name in sorted({item.colour for item in scene.items})}
    outlined, label_height, values = rng.random() < 0.4, between(rng, 12, 17), scene.knobs["print_values"]
    tops = [(item.cx, base - item.value * unit) for item in scene.items]
    if scene.kind == "lines":
        pen.line(tops, fill=colours[scene.items[0].colour], width=whole(rng, 2, 4), joint="curve")
    mark = between(rng, 3, 5.5)
    for item, (x, y) in zip(scene.items, tops):
        box = (item.cx - item.size / 2, base - item.value * unit, item.cx + item.size / 2, base - 1)
        if scene.kind == "lines":
            pen.ellipse((x - mark, y - mark, x + mark, y + mark), fill=colours[item.colour], outline=ink if outlined else None)
        else:
            pen.rectangle(box, fill=colours[item.colour], outline=ink if outlined else None)
        _write(canvas, _text(font, item.word, label_height), ink, item.cx, item.cy)
        if values:
            _write(canvas, _text(font, str(item.value), 10), ink, x, y - (12 if scene.kind == "lines" else 8))


def _pie(pen: ImageDraw.ImageDraw, scene: Scene, rng: np.random.Generator) -> None:
    (cx, cy), radius = scene.knobs["centre"], scene.items[0].size
    outline = muted(rng, 0.1, 0.35) if rng.random() < 0.4 else (250, 250, 250) if rng.random() < 0.5 else None
    for colour, start, end in scene.knobs["slices"]:
        box = (cx - radius, cy - radius, cx + radius, cy + radius)
        pen.pieslice(box, start, end, fill=shade(rng, colour), outline=outline, width=2)


def _occlude(pen: ImageDraw.ImageDraw, item: Item, share: float, colour: tuple[int, int, int]) -> None:
    """A strip over about `share` of the item, over one of its edges so that the centre stays visible."""
    half, side = item.size / 2 + 2, int(item.cx * 7 + item.cy * 13) % 4
    depth = share * item.size + 2
    x0, y0, x1, y1 = item.cx - half, item.cy - half, item.cx + half, item.cy + half
    pen.rectangle(((x0, y0, x1, y0 + depth), (x0, y1 - depth, x1, y1), (x0, y0, x0 + depth, y1), (x1 - depth, y0, x1, y1))[side], fill=colour)


def main() -> None:
    from training.questions import ask

    parser = argparse.ArgumentParser()
    parser.add_argument("--out", required=True)
    parser.add_argument("--split", default="train", choices=list(SPLITS))
    parser.add_argument("--hard", type=float, help="0..1 (default: from 0 to 1 over the sheet)")
    parser.add_argument("--kind", choices=list(SCENE_SHARES))
    parser.add_argument("--first", type=int, default=0)
    args = parser.parse_args()
    sheet = Image.new("RGB", (4 * 360, 4 * 330), (128, 128, 128))
    pen = ImageDraw.Draw(sheet)
    for i in range(16):
        rng = rng_for(args.split, args.first + i)
        scene = sample_scene(rng, args.split, i / 15 if args.hard is None else args.hard, args.kind)
        asked = ask(scene, rng, 2)
        picture = Image.fromarray(render(scene, rng))
        picture.thumbnail((350, 270))
        x, y = (i % 4) * 360, (i // 4) * 330
        sheet.paste(picture, (x, y))
        for k, q in enumerate(asked):
            pen.text((x + 2, y + 274 + 27 * k), f"{q.text} -> {q.answer}\n{q.think[:66]}", fill=(255, 255, 255))
    sheet.save(args.out)


if __name__ == "__main__":
    main()
