"""What becomes of a picture on its way through the web and through tools: the versions that must be found."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageOps

Alteration = Callable[[Image.Image], Image.Image]


def jpeg(quality: int) -> Alteration:
    """Saved as JPEG and opened again."""

    def saved(image: Image.Image) -> Image.Image:
        stream = io.BytesIO()
        image.save(stream, "JPEG", quality=quality)
        return Image.open(stream).convert("RGB")

    return saved


def resized(across: float, down: float, method: Image.Resampling) -> Alteration:
    """Width and height times a factor each."""
    return lambda image: image.resize((round(image.width * across), round(image.height * down)), method)


def cropped(left: float, top: float, right: float, bottom: float) -> Alteration:
    """Without these shares of the width and height."""

    def cut(image: Image.Image) -> Image.Image:
        width, height = image.size
        return image.crop(
            (
                round(left * width),
                round(top * height),
                round((1 - right) * width),
                round((1 - bottom) * height),
            )
        )

    return cut


def border(share: float, colour: str) -> Alteration:
    """With a frame, of a share of the longer side, around it."""
    return lambda image: ImageOps.expand(image, round(max(image.size) * share), colour)


def watermark(share: float, at: tuple[float, float], opacity: float) -> Alteration:
    """Words laid over it, `share` of the width long."""

    def marked(image: Image.Image) -> Image.Image:
        length = max(8, round(image.width * share))
        words = Image.new("L", (66, 12), 0)
        ImageDraw.Draw(words).text((1, 0), "SAMPLE.COM", 255)
        words = words.resize((length, max(4, length * 12 // 66)), Image.Resampling.BILINEAR)
        mask = Image.new("L", image.size, 0)
        mask.paste(words, (round(image.width * at[0]), round(image.height * at[1])))
        return Image.composite(
            Image.new("RGB", image.size, (200, 40, 40)), image, mask.point(lambda level: int(level * opacity))
        )

    return marked


def noisy(deviation: float) -> Alteration:
    """With noise of this standard deviation."""

    def with_noise(image: Image.Image) -> Image.Image:
        values = np.asarray(image) + np.random.default_rng(5).normal(
            0, deviation, (image.height, image.width, 3)
        )
        return Image.fromarray(np.clip(values, 0, 255).astype(np.uint8))

    return with_noise


def turned_by(degrees: float) -> Alteration:
    """Turned by a few degrees, the corners filled from the picture's middle grey."""
    return lambda image: image.rotate(degrees, Image.Resampling.BICUBIC, fillcolor=(128, 128, 128))


ALTERATIONS: dict[str, Alteration] = {
    "resized to half": resized(0.5, 0.5, Image.Resampling.LANCZOS),
    "resized to 40 %, nearest": resized(0.4, 0.4, Image.Resampling.NEAREST),
    "enlarged twice": resized(2, 2, Image.Resampling.BICUBIC),
    "stretched to 4:3": lambda image: image.resize(
        (image.height * 4 // 3, image.height), Image.Resampling.BICUBIC
    ),
    "JPEG 85": jpeg(85),
    "JPEG 50": jpeg(50),
    "JPEG 15": jpeg(15),
    "grey": lambda image: image.convert("L").convert("RGB"),
    "brightness +20 %": lambda image: ImageEnhance.Brightness(image).enhance(1.2),
    "brightness -30 %": lambda image: ImageEnhance.Brightness(image).enhance(0.7),
    "contrast +30 %": lambda image: ImageEnhance.Contrast(image).enhance(1.3),
    "saturation x2": lambda image: ImageEnhance.Color(image).enhance(2),
    "blurred (radius 2)": lambda image: image.filter(ImageFilter.GaussianBlur(2)),
    "noise (sd 10)": noisy(10),
    "mirrored": ImageOps.mirror,
    "upside down": ImageOps.flip,
    "turned 90 degrees": lambda image: image.transpose(Image.Transpose.ROTATE_90),
    "turned 180 degrees": lambda image: image.transpose(Image.Transpose.ROTATE_180),
    "turned 270, mirrored": lambda image: image.transpose(Image.Transpose.TRANSPOSE),
    "inverted": ImageOps.invert,
    "turned 2 degrees": turned_by(2),
    "white border 2 %": border(0.02, "white"),
    "white border 5 %": border(0.05, "white"),
    "black border 5 %": border(0.05, "black"),
    "large watermark": watermark(0.6, (0.2, 0.45), 0.5),
    "small watermark in the corner": watermark(0.2, (0.75, 0.92), 0.9),
    "cropped 1 % each side": cropped(0.01, 0.01, 0.01, 0.01),
    "cropped 2.5 % each side": cropped(0.025, 0.025, 0.025, 0.025),
    "cropped 5 % on one side": cropped(0.05, 0, 0, 0),
    "cropped 5 % each side": cropped(0.05, 0.05, 0.05, 0.05),
    "cropped 10 % on one side": cropped(0, 0.1, 0, 0),
    "cropped 10 % each side": cropped(0.1, 0.1, 0.1, 0.1),
    "cropped 15 % at a corner": cropped(0.15, 0.15, 0, 0),
}
CROPS_OVER_5_PERCENT = ("cropped 10 % on one side", "cropped 10 % each side", "cropped 15 % at a corner")
