"""Draws the example images: `python examples/make.py`. None of them is a training sample."""

import random
from pathlib import Path

from PIL import Image, ImageDraw

from cot.train.charts import make_chart
from cot.train.kinds import KINDS
from cot.train.scenes import draw_objects
from cot.train.shapes import make_shapes

FOLDER = Path(__file__).parent
SCENES = {
    "market.png": ({"apple": 3, "car": 1, "dog": 2}, "noto", (236, 240, 228)),
    "garden.png": ({"butterfly": 3, "tulip": 3, "cat": 1, "tree": 1}, "fluent-emoji", (205, 230, 190)),
    "unseen-style.png": ({"banana": 2, "key": 3, "owl": 1}, "twemoji", (250, 240, 215)),
}


def scene(name: str) -> Image.Image:
    """A scene with the objects that `SCENES` lists."""
    counts, style, ground = SCENES[name]
    index = {kind.singular: number for number, kind in enumerate(KINDS)}
    wanted = [index[kind] for kind, count in counts.items() for _ in range(count)]
    for attempt in range(100):
        image = Image.new("RGB", (160, 160), ground)
        drawn, _, _ = draw_objects(image, wanted, random.Random(f"example/{name}/{attempt}"), style=style)
        if len(drawn) == len(wanted):
            return image
    raise RuntimeError(f"{name}: its objects did not fit in 100 attempts")


def main() -> None:
    """Write all images."""
    for name in SCENES:
        scene(name).save(FOLDER / name)
    single = Image.new("RGB", (64, 64), (236, 240, 246))
    ImageDraw.Draw(single).ellipse((14, 18, 46, 50), fill=(52, 96, 214))
    single.save(FOLDER / "shape.png")
    make_shapes(random.Random("example/shapes/3"), questions=1).image.save(FOLDER / "shapes.png")
    make_chart(random.Random("example/chart/2"), questions=1).image.save(FOLDER / "chart.png")


if __name__ == "__main__":
    main()
