"""How fast files of pictures become patches, by number of threads, beside the official processor.

    python benchmarks/pictures.py [NUM_PICTURES]

Makes JPEG files that look like photos, reads them with `tunesmith.data.pixels.read_patches` and, one by one, with
Pillow and transformers' `Qwen2VLImageProcessorPil`, checks that both give the same pixels, and prints the best of
several rounds, in which both take turns: pictures a second by the clock, and CPU time of one picture, which
other work on the machine changes little. Then, what one picture's time goes to.
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


class Best:
    """Shortest times of a call: by the clock, and of all the processor's cores together."""

    def __init__(self) -> None:
        self.clock = self.cpu = float("inf")

    def time(self, call: Callable[[], object]) -> None:
        clock, processor = time.perf_counter(), time.process_time()
        call()
        self.cpu = min(self.cpu, time.process_time() - processor)
        self.clock = min(self.clock, time.perf_counter() - clock)


def compare(pictures: list[Placed], workers: list[int]) -> dict[str, Best]:
    """Times for all pictures of the official processor, and of ours by number of threads."""
    limits = {"shortest_edge": LEAST, "longest_edge": MOST}
    processor = Qwen2VLImageProcessorPil(patch_size=pictures[0].patch_size, size=limits)

    def official(placed: Placed) -> np.ndarray:
        with Image.open(placed.picture.file) as image:
            return processor(image, return_tensors="np")["pixel_values"]

    std, mean = (np.array(values)[:, None] for values in (processor.image_std, processor.image_mean))
    theirs = official(pictures[0]).reshape(pictures[0].num_patches, 3, 2, -1)[:, :, 0] * std + mean
    ours = read_patches(pictures[:1], 1).reshape(pictures[0].num_patches, 3, -1)
    np.testing.assert_array_equal(ours, np.rint(theirs * 255))

    calls: dict[str, Callable[[], object]] = {"official": lambda: [official(placed) for placed in pictures]}
    for number in workers:
        calls[f"{number} workers"] = lambda number=number: read_patches(pictures, number)
    times = {name: Best() for name in calls}
    for _ in range(ROUNDS):
        for name, call in calls.items():
            times[name].time(call)
    return times


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
    times = {name: Best() for name in steps}
    for _ in range(20):
        for name, step in steps.items():
            times[name].time(step)
    return {name: 1000 * best.cpu for name, best in times.items()}


def main() -> None:
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 64
    cores = os.cpu_count() or 1
    workers = sorted({2**power for power in range(cores.bit_length())} | {cores})
    print(f"{number} pictures a case, {cores} cores; (so many times the official processor)")
    with tempfile.TemporaryDirectory() as folder:
        for width, height, patch_size in CASES:
            pictures = make(Path(folder), width, height, patch_size, number)
            times = compare(pictures, workers)
            official = times["official"]
            print(f"\n{width} x {height} to {pictures[0].width} x {pictures[0].height}")
            for name, best in times.items():
                print(
                    f"{name:>12} {number / best.clock:8.1f} a second ({official.clock / best.clock:5.2f}x)"
                    f" {1000 * best.cpu / number:7.2f} ms of CPU each"
                    f" ({official.cpu / best.cpu:5.2f}x)"
                )
            print("   one picture, ms:", ", ".join(f"{k} {v:.2f}" for k, v in profile(pictures[0]).items()))


main()
