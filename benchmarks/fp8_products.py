"""What frozen weights in 8 bits can give: products of Qwen2.5-7B's layers in bf16 and in 8 bits, piece by piece.

    python benchmarks/fp8_products.py [--tokens 8192 16384] [--small]

Milliseconds of a product forward (y = x W) and backward (dx = dy W): bf16; in 8 bits alone; with the cast of what comes
in; backward also with the transposed copy of the weight. Then the sum over the layers of one block, with the casts that
q, k and v, and gate and up, share. Needs a GPU that multiplies in 8 bits; `--small` runs a toy of it on anything.
About 20 seconds.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from tunesmith.model.kernels.casts import cast_rows, product, transposed

REPEATS = 15
SIZES = {"q": (3584, 3584), "k": (3584, 512), "v": (3584, 512), "o": (3584, 3584), "gate": (3584, 18944),
         "up": (3584, 18944), "down": (18944, 3584)}  # fmt: skip
SHARED = ("k", "v", "up")
"""Layers whose input a neighbour has cast already."""
COLUMNS = ("bf16", "alone", "with cast", "backward bf16", "backward alone", "backward whole")


def milliseconds(work: Callable[[], object]) -> float:
    """Median time of a piece of work."""
    for _ in range(3):
        work()
    times = []
    for _ in range(REPEATS):
        if torch.cuda.is_available():
            first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            first.record()
            work()
            last.record()
            torch.cuda.synchronize()
            times.append(first.elapsed_time(last))
        else:
            begin = time.perf_counter()
            work()
            times.append(1000 * (time.perf_counter() - begin))
    return statistics.median(times)


@dataclass
class Layer:
    """One linear layer with what goes through it."""

    hidden: Tensor
    gradient: Tensor
    weight: Tensor

    @classmethod
    def of(cls, tokens: int, size: tuple[int, int], device: torch.device) -> Layer:
        """Random values of the layer's sizes."""
        torch.manual_seed(0)
        width, out = size
        shapes = ((tokens, width), (tokens, out), (out, width))
        return cls(*(torch.randn(shape, device=device, dtype=torch.bfloat16) for shape in shapes))

    def pieces(self) -> dict[str, Callable[[], object]]:
        """What is timed."""
        small, scales = cast_rows(self.weight)
        scales, ones = scales[:, 0].contiguous(), torch.ones(small.shape[1], device=small.device)
        hidden, gradient = cast_rows(self.hidden), cast_rows(self.gradient, factor=scales)
        turned = transposed(small)
        wide = cast_rows(self.gradient, torch.float8_e5m2, scales)

        def whole() -> Tensor:
            return product(cast_rows(self.gradient, factor=scales), transposed(small), ones)

        return {
            "bf16": lambda: self.hidden @ self.weight.T,
            "alone": lambda: product(hidden, small, scales),
            "with cast": lambda: product(cast_rows(self.hidden), small, scales),
            "backward bf16": lambda: self.gradient @ self.weight,
            "backward alone": lambda: product(gradient, turned, ones),
            "backward whole": whole,
            "cast": lambda: cast_rows(self.hidden),
            "cast of dy": lambda: cast_rows(self.gradient, factor=scales),
            "transpose": lambda: transposed(small),
            "transpose by torch": lambda: small.t().contiguous(),
            "sums with all bits": lambda: product(hidden, small, scales, fast=False),
            "dy in e5m2": lambda: product(wide, turned, ones),
        }

    def errors(self) -> str:
        """How far products in 8 bits are from those in bf16, with sums of few and of all bits."""
        small, scales = cast_rows(self.weight)
        wanted = (self.hidden @ self.weight.T).float()
        told = []
        for fast in (True, False):
            found = product(cast_rows(self.hidden), small, scales[:, 0].contiguous(), fast=fast).float()
            told.append(f"{100 * ((found - wanted).norm() / wanted.norm()).item():.2f} %")
        return " / ".join(told)


def measured(tokens: int, size: tuple[int, int], device: torch.device) -> dict[str, float]:
    """Milliseconds of every piece that runs; the others are said."""
    found = {}
    layer = Layer.of(tokens, size, device)
    for name, work in layer.pieces().items():
        try:
            found[name] = milliseconds(work)
        except Exception as error:
            print(f"{size} {name}: {str(error).splitlines()[0]}", flush=True)
            found[name] = float("nan")
    print(f"  error of the product, sums with few / all bits: {layer.errors()}", flush=True)
    return found


def rate(tokens: int, size: tuple[int, int], time_ms: float) -> str:
    """`0.21 (1,000)`: milliseconds and TFLOP/s."""
    return f"{time_ms:.3f} ({2 * tokens * size[0] * size[1] / time_ms / 1e9:,.0f})"


def block(
    tokens: int, sizes: dict[str, tuple[int, int]], found: dict[tuple[int, int], dict[str, float]]
) -> None:
    """Print what all layers of a block take together, and the ratio to bf16."""
    sums = dict.fromkeys(("bf16", "8 bits", "8 bits, nothing but products"), 0.0)
    for name, size in sizes.items():
        times = found[size]
        sums["bf16"] += times["bf16"] + times["backward bf16"]
        forward = times["alone"] if name in SHARED else times["with cast"]
        sums["8 bits"] += forward + times["backward whole"]
        sums["8 bits, nothing but products"] += times["alone"] + times["backward alone"]
    work = sum(4 * tokens * width * out for width, out in sizes.values())
    for name, total in sums.items():
        ratio = sums["bf16"] / total
        print(
            f"  a block, {name}: {total:.2f} ms, {work / total / 1e9:,.0f} TFLOP/s, {ratio:.2f}x", flush=True
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tokens", type=int, nargs="+", default=[8192, 16384])
    parser.add_argument("--small", action="store_true")
    asked = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    shrink = 32 if asked.small else 1
    sizes = {name: (width // shrink, out // shrink) for name, (width, out) in SIZES.items()}
    print(torch.cuda.get_device_name() if device.type == "cuda" else "cpu", torch.__version__, flush=True)
    for tokens in [64] if asked.small else asked.tokens:
        print(f"\n{tokens:,} tokens: ms (TFLOP/s)\n| in x out | {' | '.join(COLUMNS)} |", flush=True)
        found: dict[tuple[int, int], dict[str, float]] = {}
        for size in dict.fromkeys(sizes.values()):
            found[size] = measured(tokens, size, device)
            cells = " | ".join(rate(tokens, size, found[size][name]) for name in COLUMNS)
            print(f"| {size[0]} x {size[1]} | {cells} |", flush=True)
            others = [f"{name} {time_ms:.3f}" for name, time_ms in found[size].items() if name not in COLUMNS]
            print(f"  {', '.join(others)}", flush=True)
        block(tokens, sizes, found)


if __name__ == "__main__":
    main()
