"""Pictures of several kinds, any number of different ones of each: what the search for look-alikes must tell apart."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

_STARTS = ("ba", "mo", "ter", "in", "gla", "su", "re", "pan")
_ENDS = ("n", "kt", "ra", "li", "s", "dun", "o", "vek")
WORDS = [one + two for one in _STARTS for two in _ENDS]
_PHOTOGRAPHS = {
    "skimage": (
        "astronaut.png", "brick.png", "camera.png", "cell.png", "chelsea.png", "coffee.png", "coins.png", "grass.png",
        "gravel.png", "ihc.png", "moon.png", "motorcycle_left.png", "retina.jpg", "rocket.jpg",
    ),
    "sklearn": ("china.jpg", "flower.jpg"),
}  # fmt: skip
"""Those that scikit-image and scikit-learn bring with them."""


def photographs() -> Iterator[Image.Image]:
    """Tiles of real photographs, none overlapping another, those without texture left out."""
    for package, names in _PHOTOGRAPHS.items():
        found = find_spec(package)
        places = [Path(one) for one in (found.submodule_search_locations or [])] if found else []
        for name in names:
            for file in (one for place in places for one in place.glob(f"**/{name}")):
                image = Image.open(file).convert("RGB")
                for top in range(0, image.height - 159, 160):
                    for left in range(0, image.width - 159, 160):
                        tile = image.crop((left, top, left + 160, top + 160))
                        if np.asarray(tile.convert("L").resize((16, 16))).std() > 12:
                            yield tile


def noise(chance: np.random.Generator) -> Image.Image:
    """Noise whose amplitude falls with frequency, as that of photographs does."""
    across, down = np.meshgrid(np.fft.fftfreq(192), np.fft.fftfreq(192))
    fall = 1 / np.maximum(np.hypot(across, down), 1 / 192) ** 1.2
    waves = np.fft.fft2(chance.normal(size=(3, 192, 192))) * fall
    values = np.fft.ifft2(waves).real
    values = (values - values.mean((1, 2), keepdims=True)) / values.std((1, 2), keepdims=True)
    return Image.fromarray(np.clip(128 + 48 * values.transpose(1, 2, 0), 0, 255).astype(np.uint8))


def _words(chance: np.random.Generator, count: int) -> str:
    return " ".join(chance.choice(WORDS, count))


def document(chance: np.random.Generator) -> Image.Image:
    """A page of text with a title and paragraphs."""
    page = Image.new("L", (420, 594), 255)
    draw = ImageDraw.Draw(page)
    draw.text((40, 30), _words(chance, 4).upper(), 0)
    top = 60
    while top < 550:
        for _ in range(int(chance.integers(2, 8))):
            if top < 550:
                draw.text((40, top), _words(chance, int(chance.integers(6, 12)))[:56], 20)
                top += 13
        top += 12
    return page.convert("RGB")


def form(chance: np.random.Generator) -> Image.Image:
    """One printed form with other entries in its fields."""
    page = Image.new("L", (420, 594), 255)
    draw = ImageDraw.Draw(page)
    draw.rectangle((20, 20, 400, 60), fill=60)
    draw.text((120, 33), "APPLICATION FOR A PERMIT", 255)
    for row in range(14):
        top = 80 + 35 * row
        draw.rectangle((20, top, 400, top + 28), outline=0)
        draw.line((150, top, 150, top + 28), fill=0)
        draw.text((26, top + 8), f"{row + 1}. {WORDS[row * 3]} {WORDS[row * 2 + 1]}", 0)
        entry = _words(chance, int(chance.integers(1, 6)))[:36] if chance.random() < 0.85 else ""
        draw.text((158 + int(chance.integers(0, 6)), top + 8 + int(chance.integers(-2, 3))), entry, 30)
    return page.convert("RGB")


def endoscopy(chance: np.random.Generator) -> Image.Image:
    """Red folds in the round frame that all of them have."""
    soft = Image.fromarray(chance.integers(90, 220, (7, 8), dtype=np.uint8)).resize(
        (240, 210), Image.Resampling.BICUBIC
    )
    red = np.asarray(soft, float) + chance.normal(0, 4, (210, 240))
    down, across = np.mgrid[:210, :240]
    spot = np.exp(
        -(((across - chance.uniform(60, 180)) / 40) ** 2 + ((down - chance.uniform(60, 150)) / 40) ** 2)
    )
    red -= 110 * spot
    inside = np.hypot(across - 120, down - 105) < 98
    colours = np.stack([red, red * 0.55, red * 0.45], -1) * inside[..., None]
    return Image.fromarray(np.clip(colours, 0, 255).astype(np.uint8))


def x_ray(chance: np.random.Generator) -> Image.Image:
    """A chest: the same anatomy, of other size, place, ribs and shadows."""
    down, across = np.mgrid[:256, :256] / 256
    shift, lean = chance.normal(0, 0.02, 2), chance.normal(1, 0.06, 4)
    values = 150 + 40 * np.exp(-(((across - 0.5 - shift[0]) / (0.06 * lean[0])) ** 2))
    for side in (-1, 1):
        middle = 0.5 + side * 0.21 * lean[1] + shift[0]
        lung = ((across - middle) / (0.14 * lean[2])) ** 2 + (
            (down - 0.45 - shift[1]) / (0.28 * lean[3])
        ) ** 2
        values -= 105 / (1 + np.exp(10 * (lung - 1)))
    for rib in range(7):
        bend = 0.18 + rib * chance.normal(0.095, 0.004) + 0.5 * (across - 0.5) ** 2 * lean[1]
        values += 16 * np.exp(-(((down - bend) / 0.012) ** 2))
    heart = ((across - 0.55 - shift[1]) / (0.12 * lean[0])) ** 2 + ((down - 0.62) / (0.14 * lean[3])) ** 2
    values += 60 / (1 + np.exp(9 * (heart - 1)))
    for _ in range(4):
        x, y, size = chance.uniform(0.2, 0.8), chance.uniform(0.2, 0.8), chance.uniform(0.02, 0.07)
        values += chance.uniform(-25, 30) * np.exp(-(((across - x) ** 2 + (down - y) ** 2) / size**2))
    soft = Image.fromarray(chance.integers(0, 40, (24, 24), dtype=np.uint8)).resize(
        (256, 256), Image.Resampling.BICUBIC
    )
    values += np.asarray(soft, float) - 20 + chance.normal(0, 3, values.shape)
    return Image.fromarray(np.clip(values, 0, 255).astype(np.uint8)).convert("RGB")


def _axes(draw: ImageDraw.ImageDraw) -> None:
    draw.line((40, 20, 40, 240), fill="black", width=2)
    draw.line((40, 240, 340, 240), fill="black", width=2)
    for step in range(6):
        draw.text((12, 236 - 42 * step), str(step * 20), "black")
        draw.line((40, 240 - 42 * step, 340, 240 - 42 * step), fill=(225, 225, 225))
        draw.text((40 + 58 * step, 246), str(2015 + step), "black")


def line_chart(chance: np.random.Generator) -> Image.Image:
    """Two lines in the same axes."""
    image = Image.new("RGB", (360, 270), "white")
    draw = ImageDraw.Draw(image)
    _axes(draw)
    for colour in ("navy", "darkorange"):
        heights = np.clip(chance.uniform(40, 200) + chance.normal(0, 26, 12).cumsum(), 5, 215)
        draw.line(
            [(40 + 27 * at, 240 - float(height)) for at, height in enumerate(heights)], fill=colour, width=3
        )
    return image


def bar_chart(chance: np.random.Generator) -> Image.Image:
    """Eight bars in the same axes."""
    image = Image.new("RGB", (360, 270), "white")
    draw = ImageDraw.Draw(image)
    _axes(draw)
    for bar, height in enumerate(chance.uniform(10, 210, 8)):
        draw.rectangle((50 + 36 * bar, 240 - float(height), 74 + 36 * bar, 240), fill="steelblue")
    return image


def screenshot(chance: np.random.Generator) -> Image.Image:
    """One program's window with other contents in its list and pane."""
    image = Image.new("RGB", (480, 300), (240, 240, 240))
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 0, 480, 24), fill=(50, 70, 120))
    draw.text((10, 6), "Mail  File  Edit  View  Help", "white")
    draw.rectangle((0, 24, 150, 300), fill=(225, 228, 235))
    for row in range(12):
        draw.text((8, 32 + 22 * row), _words(chance, int(chance.integers(1, 4)))[:22], "black")
    for row in range(int(chance.integers(8, 18))):
        draw.text((165, 40 + 14 * row), _words(chance, int(chance.integers(3, 9)))[:48], (30, 30, 30))
    return image


def digits() -> Iterator[Image.Image]:
    """Handwritten digits of scikit-learn, 8x8 pixels made 64x64."""
    from sklearn.datasets import load_digits

    for values in load_digits().images:
        small = Image.fromarray((255 - values * 15.9).astype(np.uint8))
        yield small.resize((64, 64), Image.Resampling.BICUBIC).convert("RGB")


DRAWN: dict[str, Callable[[np.random.Generator], Image.Image]] = {
    "1/f noise": noise,
    "documents": document,
    "one form, other entries": form,
    "endoscopy-like": endoscopy,
    "X-ray-like": x_ray,
    "line charts": line_chart,
    "bar charts": bar_chart,
    "screenshots": screenshot,
}
SHIPPED: dict[str, Callable[[], Iterator[Image.Image]]] = {"photographs": photographs, "digits": digits}
KINDS = (*SHIPPED, *DRAWN)


def pictures(kind: str, count: int) -> list[Image.Image]:
    """At most `count` different pictures of a kind, the same ones at every call."""
    if kind in SHIPPED:
        # Not the first ones alone, which are of one photograph.
        found = list(SHIPPED[kind]())
        order = np.random.default_rng(3).permutation(len(found))
        return [found[at] for at in order[:count]]
    return [DRAWN[kind](np.random.default_rng([KINDS.index(kind), number])) for number in range(count)]
