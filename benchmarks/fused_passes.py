"""The passes over memory between a layer's products, each by itself: how near to copying they come, and Liger's beside.

    python benchmarks/fused_passes.py [--tokens 8192] [--rank 16]

For the shapes of Qwen2.5-7B and Qwen3-0.6B: milliseconds of every kernel of `model.kernels.fused`, the bytes that it
must move over that time, and the same as a share of what a copy in the device's memory reaches; of norms and gates
Liger's too, with the passes in which adapters are added. Of the kernels with tiles, also other tiles. Needs a GPU.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from itertools import product
from typing import Any

import torch

SHAPES = {"qwen2.5-7b": (3584, 18944, 28, 4, 128), "qwen3-0.6b": (1024, 3072, 16, 8, 128)}
"""Width, width of the MLP, heads of queries and of keys, width of a head."""
TILES = tuple(product((32, 64), (32, 64), (8, 16), (1, 3)))
"""Rows and columns, how many side by side in one program, and how many of them are under way at once."""
NAMES = ("ROWS", "COLUMNS", "TILES", "AHEAD")
"""What those are in `fused_triton`."""


def main() -> None:
    """Print a line for each pass."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tokens", type=int, default=8192)
    parser.add_argument("--rank", type=int, default=16)
    asked = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit("this needs a GPU")
    copied = rows(2**15, 2**14)
    place = torch.empty_like(copied)
    rate = 2 * copied.nbytes / seconds(lambda: place.copy_(copied))
    del copied, place
    print(f"{torch.cuda.get_device_name()}: a copy moves {rate / 1e12:.2f} TB/s")
    print(f"{'model':<12}{'pass':<34}{'ms':>8}{'TB/s':>7}{'of copy':>9}")
    for model, shape in SHAPES.items():
        for name, run, moved in passes(asked.tokens, asked.rank, *shape):
            try:
                took = seconds(run)
            except Exception as error:
                print(f"{model:<12}{name:<34}failed: {str(error).strip().splitlines()[:1]}", flush=True)
                continue
            reached = moved / took
            print(
                f"{model:<12}{name:<34}{1000 * took:>8.3f}{reached / 1e12:>7.2f}{reached / rate:>9.0%}",
                flush=True,
            )


def passes(
    tokens: int, rank: int, width: int, wide: int, heads: int, keys: int, head: int
) -> list[tuple[str, Callable[[], Any], int]]:
    """Name, work, and bytes that must be moved, of every pass."""
    from liger_kernel.ops.rms_norm import LigerRMSNormFunction
    from liger_kernel.ops.swiglu import LigerSiLUMulFunction

    from tunesmith.model.kernels import fused, fused_triton
    from tunesmith.model.kernels.fused import Added, Heads, Turning

    hidden, other, beside = (rows(tokens, width) for _ in range(3))
    weight = rows(width)
    _, factor = fused.normalised(hidden, weight, 1e-6)
    gate, up, gradient, both = (
        rows(tokens, wide),
        rows(tokens, wide),
        rows(tokens, wide),
        rows(tokens, 2 * wide),
    )
    inner, ups, down = rows(tokens, 2 * rank), rows(2 * wide, 2 * rank), rows(rank, wide)
    to_gate = Added(inner[:, :rank], ups[:wide, :rank])
    to_up = Added(inner[:, rank:], ups[wide:, rank:])
    more = Added(rows(tokens, rank), down.T)
    added = Added(rows(tokens, rank), rows(width, rank))
    shape = Heads(heads, keys, head)
    projected = rows(tokens, sum(shape.sizes))
    turning = Turning(rows(tokens, head), rows(tokens, head), None, 1e-6)
    with_norm = turning._replace(weights=(rows(head), rows(head)))
    backwards = projected.split(shape.sizes, dim=1)
    one, big, line = hidden.nbytes, gate.nbytes, projected.nbytes

    def tiled(tile: tuple[int, int, int, int], run: Callable[[], Any]) -> Callable[[], Any]:
        def within() -> Any:
            before = tuple(vars(fused_triton)[name] for name in NAMES)
            vars(fused_triton).update(zip(NAMES, tile, strict=True))
            try:
                return run()
            finally:
                vars(fused_triton).update(zip(NAMES, before, strict=True))

        return within

    found = [
        ("norm", lambda: fused.normalised(hidden, weight, 1e-6), 2 * one),
        ("norm, Liger", lambda: LigerRMSNormFunction.apply(hidden, weight, 1e-6, 0.0, "llama", False), 2 * one),
        ("through norm", lambda: fused.through_norm(other, hidden, factor, weight, beside), 4 * one),
        ("sum of output, adapter, stream", lambda: fused.summed(hidden, added, beside), 3 * one),
        ("turn", lambda: fused.turned(projected, shape, turning), 2 * line),
        ("turn with norms", lambda: fused.turned(projected, shape, with_norm), 2 * line),
        ("turn back", lambda: fused.turned_back(backwards, None, shape, turning), 2 * line),
        ("turn back with norms", lambda: fused.turned_back(backwards, projected, shape, with_norm), 3 * line),
        ("gate without adapters", lambda: fused.gated(both, None, None, None), 3 * big),
        ("gate, Liger", lambda: LigerSiLUMulFunction.apply(gate, up), 3 * big),
        ("adapters to gate and up, addmm_", lambda: [
            out.addmm_(one.inner, one.up.T) for out, one in ((gate, to_gate), (up, to_up))], 4 * big),
        ("inner product of one", lambda: gate @ down.T, big),
    ]  # fmt: skip
    for tile in TILES:
        name = "x".join(map(str, tile))
        found += [
            (f"gate, tiles of {name}", tiled(tile, lambda: fused.gated(both, to_gate, to_up, down)), 3 * big),
            (
                f"through gate, tiles of {name}",
                tiled(tile, lambda: fused.through_gate(gradient, both, to_gate, to_up, more)),
                6 * big,
            ),
        ]
    return found


def rows(*shape: int) -> torch.Tensor:
    """Random numbers on the GPU."""
    return torch.randn(*shape, device="cuda", dtype=torch.bfloat16)


def seconds(run: Callable[[], Any]) -> float:
    """Median of a call."""
    from triton.testing import do_bench

    return float(do_bench(run, warmup=20, rep=60, return_mode="median")) / 1000


if __name__ == "__main__":
    main()
