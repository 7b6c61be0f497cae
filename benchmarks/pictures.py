"""How fast files of pictures become patches, by number of threads, beside the official processor.

    python benchmarks/pictures.py [NUM_PICTURES]

Makes JPEG files that look like photos, reads them with `tunesmith.data.pixels.read_patches` and, one by one, with
Pillow and transformers' `Qwen2VLImageProcessorPil`, checks that both give the same pixels, and prints the best of
several rounds, in which both take turns. Then, what one picture's time goes to.
"""

from __future__ import annotations

import hashlib
import io
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.Image import Resampling
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from tunesmith.config.experiment import Pixels
from tunesmith.data.example import Placed
from tunesmith.data.picture import Picture
from tunesmith.data.pixels import read_patches
from tunesmith.data.sizes import target_size
from tunesmith.data.upright import open_upright

LEAST, MOST, ROUNDS = 3136, 512 * 512, 5
CASES = [(1280, 960, 14), (1280, 960, 16), (512, 512, 14), (512, 512, 16)]
"""Width and height of the files, and side of a patch."""


def photo(width: int, height: int, seed: int) -> Image.Image:
    """Large and small soft shapes with a camera's noise over them."""
    chance = np.random.default_rng(seed)
    image = np.zeros((height, width, 3))
    for cell, weight in ((256, 0.5), (64, 0.3), (16, 0.2)):
        colours = chance.integers(0, 256, (height // cell + 2, width // cell + 2, 3), dtype=np.uint8)
        image += weight * np.asarray(Image.fromarray(colours).resize((width, height), Resampling.BICUBIC))
    return Image.fromarray(np.clip(image + chance.normal(0, 4, image.shape), 0, 255).astype(np.uint8))


def make(folder: Path, width: int, height: int, patch_size: int, number: int) -> list[Placed]:
    """So many files, placed as the model would see them."""
    rows, columns = target_size(width, height, Pixels(), 2 * patch_size, LEAST, MOST)
    placed = []
    for seed in range(number):
        file = folder / f"{width}x{height}-{patch_size}-{seed}.jpg"
        photo(width, height, seed).save(file, quality=90)
        sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
        picture = Picture(file.name, sha256, width, height, look="0" * 16, root=folder)
        placed.append(Placed(picture, 0, rows, columns, patch_size, merge_size=2))
    return placed


def seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def compare(pictures: list[Placed], workers: list[int]) -> tuple[float, dict[int, float]]:
    """Pictures a second of the official processor, and of ours by number of threads."""
    limits = {"shortest_edge": LEAST, "longest_edge": MOST}
    processor = Qwen2VLImageProcessorPil(patch_size=pictures[0].patch_size, size=limits)

    def official(placed: Placed) -> np.ndarray:
        with Image.open(placed.picture.file) as image:
            return processor(image, return_tensors="np")["pixel_values"]

    std, mean = (np.array(values)[:, None] for values in (processor.image_std, processor.image_mean))
    theirs = official(pictures[0]).reshape(pictures[0].num_patches, 3, 2, -1)[:, :, 0] * std + mean
    ours = read_patches(pictures[:1], 1).reshape(pictures[0].num_patches, 3, -1)
    np.testing.assert_array_equal(ours, np.rint(theirs * 255))

    times: dict[int, list[float]] = {number: [] for number in [0, *workers]}
    for _ in range(ROUNDS):
        times[0].append(seconds(lambda: [official(placed) for placed in pictures]))
        for number in workers:
            times[number].append(seconds(lambda number=number: read_patches(pictures, number)))
    best = {number: len(pictures) / min(taken) for number, taken in times.items()}
    return best.pop(0), best


def profile(placed: Placed) -> dict[str, float]:
    """Milliseconds of each step for one picture; decode and resize are what the official processor does too."""
    content = placed.picture.file.read_bytes()
    upright = open_upright(content)
    size = (placed.width, placed.height)
    steps: dict[str, Callable[[], object]] = {
        "hash": lambda: hashlib.sha256(content).hexdigest(),
        "decode": lambda: Image.open(io.BytesIO(content)).load(),
        "decode upright": lambda: open_upright(content),
        "resize": lambda: upright.resize(size, Resampling.BICUBIC),
        "all": lambda: read_patches([placed], 1),
    }
    return {name: 1000 * min(seconds(step) for _ in range(20)) for name, step in steps.items()}


def main() -> None:
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 64
    cores = os.cpu_count() or 1
    workers = sorted({2**power for power in range(cores.bit_length())} | {cores})
    print(
        f"{number} pictures a case, {cores} cores; pictures a second (and so many times the official processor)"
    )
    with tempfile.TemporaryDirectory() as folder:
        for width, height, patch_size in CASES:
            pictures = make(Path(folder), width, height, patch_size, number)
            seen = f"{width} x {height} to {pictures[0].width} x {pictures[0].height}"
            official, ours = compare(pictures, workers)
            print(f"\n{seen}: official {official:.1f}")
            for count, speed in ours.items():
                print(f"  {count:>3} threads {speed:8.1f}  ({speed / official:.2f}x)")
            print("  one picture, ms:", ", ".join(f"{k} {v:.2f}" for k, v in profile(pictures[0]).items()))


main()
