"""Renders the sprites of the world once, from openly licensed npm packages.

    python -m training.atlas            # -> training/.cache/atlas_{style}.npz, atlas_shapes.npz, atlas_fonts.npz

Needs npm (fetches the pinned packages below with `npm pack`) and resvg-py. An atlas holds uint8
arrays: "cat/0" [h, w, 4] RGBA in atlas_{style}, "star/1" [h, w] masks in atlas_shapes, and
"nunito-700/stop" [h, w] masks of digits, bar labels and sign words in atlas_fonts.
"""

import io
import json
import subprocess
import tarfile
from pathlib import Path

import numpy as np
import resvg_py
from PIL import Image, ImageDraw, ImageFont

from training.render import CACHE, FONTS, NEW_FONTS
from training.world import BAR_LABELS, NEW_STYLE, SHAPES, SIGN_WORDS, THINGS, TRAIN_STYLES

SPRITE_PX = 112  # longer side of a stored drawing
TEXT_PX = 56  # height of a stored capital or digit

PACKAGES = {  # licence of each: the model card
    "twemoji": "@iconify-json/twemoji@1.2.5",
    "noto": "@iconify-json/noto@1.2.9",
    "emojione": "@iconify-json/emojione@1.2.3",
    "fxemoji": "@iconify-json/fxemoji@1.2.2",
    "fluent-emoji-flat": "@iconify-json/fluent-emoji-flat@1.2.6",
}
FONT_PACKAGES = {
    "roboto": "@fontsource/roboto@5.3.0",
    "merriweather": "@fontsource/merriweather@5.3.0",
    "nunito": "@fontsource/nunito@5.3.0",
    "fira-mono": "@fontsource/fira-mono@5.3.0",
    "pt-serif": "@fontsource/pt-serif@5.3.0",
    "open-sans": "@fontsource/open-sans@5.3.0",
    "oswald": "@fontsource/oswald@5.3.0",
}

# Icon names of a kind, several where the drawings differ; sets spell them with or without hyphens.
ICONS = {
    "cat": ["cat", "cat-face"], "dog": ["dog", "dog-face"], "horse": ["horse", "horse-face"], "rabbit": ["rabbit", "rabbit-face"],
    "bird": ["bird"], "fish": ["fish", "tropical-fish"], "frog": ["frog"], "turtle": ["turtle"], "butterfly": ["butterfly"],
    "elephant": ["elephant"], "apple": ["red-apple", "green-apple"], "banana": ["banana"], "cherry": ["cherries"],
    "strawberry": ["strawberry"], "carrot": ["carrot"], "pizza": ["pizza", "slice-of-pizza"], "car": ["automobile", "oncoming-automobile"],
    "bus": ["bus", "oncoming-bus"], "bike": ["bicycle"], "plane": ["airplane", "small-airplane"], "boat": ["sailboat"],
    "rocket": ["rocket"], "key": ["key", "old-key"], "clock": ["alarm-clock", "three-oclock", "clock3oclock"],
    "umbrella": ["umbrella", "umbrella-with-rain-drops"], "book": ["open-book", "closed-book", "blue-book"], "cup": ["hot-beverage"],
    "bell": ["bell"], "guitar": ["guitar"], "house": ["house", "house-with-garden", "house-building"],
    "tree": ["deciduous-tree", "evergreen-tree"], "flower": ["tulip", "sunflower", "blossom"],
}  # fmt: skip

UNCLEAR = {("fxemoji", "bird")}  # drawings that a person does not name so


def unpack(spec: str) -> Path:
    """Folder of an npm package, fetched into the cache where it is missing."""
    folder = CACHE / spec.replace("/", "+")
    if not folder.exists():
        CACHE.mkdir(exist_ok=True)
        done = subprocess.run(["npm", "pack", spec, "--silent"], cwd=CACHE, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"npm could not fetch {spec}: {done.stderr.strip()[-300:]}")
        archive = CACHE / done.stdout.strip().splitlines()[-1]
        with tarfile.open(archive) as tar:
            tar.extractall(folder, filter="data")
        archive.unlink()
    return folder / "package"


def trim(image: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Cuts away the transparent margin."""
    rows, cols = np.where(alpha.max(1) > 8)[0], np.where(alpha.max(0) > 8)[0]
    return image[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1]


def draw_icons(style: str) -> dict[str, np.ndarray]:
    """RGBA drawings of every kind that the set has, "kind/variant"."""
    icons = json.loads((unpack(PACKAGES[style]) / "icons.json").read_text())
    size = icons.get("width", 16), icons.get("height", 16)
    sprites = {}
    for kind in THINGS:
        variant = 0
        for name in ICONS[kind]:
            name = name if name in icons["icons"] or name in icons.get("aliases", {}) else name.replace("-", "")
            name = icons.get("aliases", {}).get(name, {}).get("parent", name)
            icon = icons["icons"].get(name)
            if not icon or (style, kind) in UNCLEAR:
                continue
            width, height = icon.get("width", size[0]), icon.get("height", size[1])
            box = f"{icon.get('left', 0)} {icon.get('top', 0)} {width} {height}"
            svg = f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="{box}">{icon["body"]}</svg>'
            png = resvg_py.svg_to_bytes(svg_string=svg, width=2 * SPRITE_PX, height=2 * SPRITE_PX)
            big = np.asarray(Image.open(io.BytesIO(bytes(png))).convert("RGBA"))
            image = Image.fromarray(trim(big, big[..., 3]))
            image.thumbnail((SPRITE_PX, SPRITE_PX), Image.LANCZOS)
            sprites[f"{kind}/{variant}"] = np.asarray(image)
            variant += 1
    return sprites


def polygon(kind: str, variant: int) -> list[list[tuple[float, float]]]:
    """Outlines of a shape in the unit square, centred on 0, y down; later ones cut out (the moon)."""
    turn = np.linspace(0, 2 * np.pi, 96, endpoint=False)
    circle = list(zip(np.cos(turn), np.sin(turn)))
    if kind == "circle":
        return [circle]
    if kind == "square":
        return [[(-1, -1), (1, -1), (1, 1), (-1, 1)]]
    if kind == "triangle":
        return [[[(0, -1), (1, 0.75), (-1, 0.75)], [(0, -1), (0.8, 1), (-0.8, 1)]][variant % 2]]
    if kind == "diamond":
        width = (0.65, 0.8, 1)[variant]
        return [[(0, -1), (width, 0), (0, 1), (-width, 0)]]
    if kind == "star":
        inner = (0.38, 0.45, 0.52)[variant]
        return [[(r * np.sin(k * np.pi / 5), -r * np.cos(k * np.pi / 5)) for k in range(10) for r in [inner if k % 2 else 1]]]
    if kind == "cross":
        t = (0.22, 0.3, 0.38)[variant]
        return [[(-t, -1), (t, -1), (t, -t), (1, -t), (1, t), (t, t), (t, 1), (-t, 1), (-t, t), (-1, t), (-1, -t), (-t, -t)]]
    if kind == "heart":
        x, y = 16 * np.sin(turn) ** 3, -(13 * np.cos(turn) - 5 * np.cos(2 * turn) - 2 * np.cos(3 * turn) - np.cos(4 * turn))
        return [list(zip(x / 17, (y - 2) / 15))]
    shift = (0.45, 0.55, 0.38)[variant]  # moon: a disc with a disc cut out
    return [circle, [(x * 0.85 + shift, y * 0.85 - 0.15) for x, y in circle]]


def draw_shapes() -> dict[str, np.ndarray]:
    masks = {}
    for kind in SHAPES:
        for variant in range(3):
            big = Image.new("L", (4 * SPRITE_PX, 4 * SPRITE_PX))
            pen, half = ImageDraw.Draw(big), 2 * SPRITE_PX - 4
            for i, outline in enumerate(polygon(kind, variant)):
                pen.polygon([(2 * SPRITE_PX + half * x, 2 * SPRITE_PX + half * y) for x, y in outline], fill=0 if i else 255)
            if variant == 2 and kind in ("square", "triangle"):  # a rounder variant
                big = Image.new("L", big.size)
                pen = ImageDraw.Draw(big)
                if kind == "square":
                    pen.rounded_rectangle((4, 4, 4 * SPRITE_PX - 5, 4 * SPRITE_PX - 5), 70, fill=255)
                else:
                    corners = [(2 * SPRITE_PX, 24), (4 * SPRITE_PX - 24, 4 * SPRITE_PX - 70), (24, 4 * SPRITE_PX - 70)]
                    pen.polygon(corners, fill=255)
                    for a, b in zip(corners, corners[1:] + corners[:1]):
                        pen.line([a, b], fill=255, width=40)
                    for x, y in corners:
                        pen.ellipse((x - 20, y - 20, x + 20, y + 20), fill=255)
            mask = np.asarray(big.resize((SPRITE_PX, SPRITE_PX), Image.BOX))
            masks[f"{kind}/{variant}"] = trim(mask, mask)
    return masks


def draw_fonts() -> dict[str, np.ndarray]:
    masks = {}
    for font_name in FONTS + NEW_FONTS:
        family, weight = font_name.rsplit("-", 1)
        woff = unpack(FONT_PACKAGES[family]) / "files" / f"{family}-latin-{weight}-normal.woff"
        font = ImageFont.truetype(io.BytesIO(woff.read_bytes()), 100)
        top, bottom = font.getbbox("0")[1::2]
        font = ImageFont.truetype(io.BytesIO(woff.read_bytes()), round(100 * TEXT_PX / (bottom - top)))
        for text in [*"0123456789", *BAR_LABELS, *SIGN_WORDS, *(word.upper() for word in SIGN_WORDS)]:
            left, top, right, bottom = font.getbbox(text)
            image = Image.new("L", (right - left + 2, bottom - top + 2))
            ImageDraw.Draw(image).text((1 - left, 1 - top), text, font=font, fill=255)
            masks[f"{font_name}/{text}"] = np.asarray(image)
    return masks


def main() -> None:
    atlases = {style: draw_icons(style) for style in [*TRAIN_STYLES, NEW_STYLE]}
    atlases |= {"shapes": draw_shapes(), "fonts": draw_fonts()}
    for name, sprites in atlases.items():
        np.savez_compressed(CACHE / f"atlas_{name}.npz", **sprites)
        missing = [kind for kind in THINGS if name in PACKAGES and f"{kind}/0" not in sprites]
        print(f"atlas_{name}.npz: {len(sprites)} sprites" + (f", without {', '.join(missing)}" if missing else ""))


if __name__ == "__main__":
    main()
