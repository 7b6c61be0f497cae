"""Attention over packed lines: as training does it, PyTorch's flash attention, and `varlen_attn` around that.

    python benchmarks/attention_passes.py [--only qwen3-0.6b] [--tune]

For packed short texts in the shapes of Qwen3-0.6B and Qwen2.5-7B, for a vision tower's windows, and for long texts
(`model.kernels.short_attention` and `long_attention` say where they differ): milliseconds that the kernels of a call
take on the GPU, forward and backward, milliseconds that the CPU takes to start them, and how far output and gradients
are from attention in fp32 (the largest of the four differences, each relative to what it differs from). With --tune
also ours compiled in other ways. Needs a GPU; about a minute.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tunesmith.model.attention import Packed

REPEATS = 10


class Line(NamedTuple):
    """A packed line and the heads that attend over it."""

    lengths: list[int]
    heads: int
    kept: int
    """Heads of keys and values."""
    width: int
    causal: bool


def texts(tokens: int, seed: int = 0) -> list[int]:
    """Lengths of 24 to 400 tokens, 114 on average, that fill the line."""
    random, lengths = np.random.default_rng(seed), list[int]()
    while (left := tokens - sum(lengths)) > 0:
        length = int(np.clip(random.gamma(1.2, 75) + 24, 24, 400))
        lengths.append(min(length, left))
    return lengths


LINES = {
    "qwen3-0.6b": Line(texts(16384), 16, 8, 128, True),
    "qwen2.5-7b": Line(texts(8192), 28, 4, 128, True),
    "windows": Line([64] * (16 * 1296 // 64), 16, 16, 80, False),
    **{
        f"of {size}": Line([size] * (16384 // size), 28, 4, 128, True)
        for size in (600, 1000, 1500, 2048, 2800, 4096, 8192)
    },
    "long texts": Line([512, 900, 1500, 2500, 3600, 7372], 28, 4, 128, True),
}
"""Windows are those of 16 pictures of 1,296 patches; all below them have the heads of Qwen2.5-7B."""

TUNINGS: tuple[dict[str, int | None], ...] = (
    {"STEP": 16},
    {"STEP": 64},
    {"STAGES": 2},
    {"REGISTERS": None},
)
"""Constants of `short_attention_triton` instead of its own, for lines of short segments."""


def main() -> None:
    """Print a line for each way to attend."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", choices=list(LINES))
    parser.add_argument("--tune", action="store_true")
    asked = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit("this needs a GPU")
    print(f"{torch.cuda.get_device_name()}: milliseconds on the GPU (on the CPU)")
    print(f"{'line':<12}{'by':<24}{'forward':>18}{'backward':>18}{'error':>9}")
    for name, line in LINES.items():
        if asked.only in (None, name):
            compare(name, line, tune=asked.tune)


def compare(name: str, line: Line, tune: bool) -> None:
    """Print a line for each way to attend over this one."""
    packed = packed_line(line)
    gradient = random(1, sum(line.lengths), line.heads, line.width)
    exact = exactly(packed, gradient)
    ours = [("ours, " + ", ".join(f"{key} {value}" for key, value in one.items()), one) for one in TUNINGS]
    plans = [(by, by, {}) for by in WAYS] + [
        (by, "ours", one) for by, one in ours if tune and max(line.lengths) <= 400
    ]
    for by, way, constants in plans:
        try:
            with tuned(constants):
                error, on_gpu, on_cpu = measured(WAYS[way], packed, gradient, exact)
        except Exception as failed:
            print(f"{name:<12}{by:<24}failed: {str(failed).strip().splitlines()[:1]}", flush=True)
            continue
        times = "".join(
            f"{f'{1000 * gpu:.3f} ({1000 * cpu:.3f})':>18}" for gpu, cpu in zip(on_gpu, on_cpu, strict=True)
        )
        print(f"{name:<12}{by:<24}{times}{error:>9.4f}", flush=True)


def packed_line(line: Line) -> Packed:
    """What a layer is asked. Queries, keys and values stand side by side where all have as many heads."""
    from tunesmith.data.batch import Segments
    from tunesmith.model.attention import Packed

    tokens = sum(line.lengths)
    if line.heads == line.kept:
        rows = list(random(tokens, 3, line.heads, line.width).unbind(1))
    else:
        rows = [random(tokens, heads, line.width) for heads in (line.heads, line.kept, line.kept)]
    leaves = [one.transpose(0, 1)[None].requires_grad_() for one in rows]
    return Packed(*leaves, Segments.end_to_end(line.lengths), None, 0.0, None, line.causal)


def random(*shape: int) -> Tensor:
    """Random numbers on the GPU."""
    return torch.randn(*shape, device="cuda", dtype=torch.bfloat16)


def by_ours(packed: Packed) -> Tensor:
    from tunesmith.model import attention

    return attention._varlen(packed)


def by_flash(packed: Packed) -> Tensor:
    from tunesmith.model import attention

    return attention._by_flash(packed, *attention._laid_out(packed))[None]


def by_varlen_attn(packed: Packed) -> Tensor:
    from tunesmith.model import attention

    return attention._by_varlen_attn(packed, *attention._laid_out(packed))[None]


WAYS = {"ours": by_ours, "flash attention": by_flash, "varlen_attn": by_varlen_attn}


@contextmanager
def tuned(constants: dict[str, int | None]) -> Iterator[None]:
    """Within it, our kernels are compiled with these constants."""
    from tunesmith.model.kernels import short_attention_triton

    before = {name: vars(short_attention_triton)[name] for name in constants}
    vars(short_attention_triton).update(constants)
    try:
        yield
    finally:
        vars(short_attention_triton).update(before)


def measured(
    attend: Callable[[Packed], Tensor], packed: Packed, gradient: Tensor, exact: list[Tensor]
) -> tuple[float, tuple[float, float], tuple[float, float]]:
    """Error, and seconds forward and backward on the GPU and on the CPU."""
    found = results(attend, packed, gradient)
    error = max(relative(one, right) for one, right in zip(found, exact, strict=True))
    forward = gpu_seconds(lambda: attend(packed))
    both = gpu_seconds(lambda: results(attend, packed, gradient))
    return error, (forward, both - forward), cpu_seconds(attend, packed, gradient)


def results(attend: Callable[[Packed], Tensor], packed: Packed, gradient: Tensor) -> list[Tensor]:
    """What comes out, and the gradients of queries, keys and values."""
    out = attend(packed)
    return [out, *torch.autograd.grad(out, (packed.query, packed.key, packed.value), gradient)]


def exactly(packed: Packed, gradient: Tensor) -> list[Tensor]:
    """The same in fp32, one segment after the other."""
    from tunesmith.model import attention

    lines = [one.detach().float().requires_grad_() for one in (packed.query, packed.key, packed.value)]
    query, key, value = lines
    wide = packed._replace(query=query, key=key, value=value)
    return [one.detach() for one in results(attention._plain, wide, gradient.float())]


def relative(one: Tensor, right: Tensor) -> float:
    """Length of the difference as a share of what is right."""
    return float((one.detach().float() - right).norm() / right.norm())


def gpu_seconds(run: Callable[[], object]) -> float:
    """Time in all kernels of a call, however long the CPU takes to start them; where the profiler sees none, the time
    from its first to its last."""
    from torch.profiler import ProfilerActivity, profile
    from triton.testing import do_bench

    run()
    torch.cuda.synchronize()
    with profile(activities=[ProfilerActivity.CUDA]) as kernels:
        for _ in range(REPEATS):
            run()
        torch.cuda.synchronize()
    total = sum(one.self_device_time_total for one in kernels.key_averages()) / REPEATS / 1e6
    return total or float(do_bench(run, warmup=20, rep=60, return_mode="median")) / 1000


def cpu_seconds(attend: Callable[[Packed], Tensor], packed: Packed, gradient: Tensor) -> tuple[float, float]:
    """Medians of the times until a forward and a backward call return, on a GPU that has nothing else to do."""
    taken = []
    for _ in range(3 * REPEATS):
        torch.cuda.synchronize()
        began = time.perf_counter()
        out = attend(packed)
        called = time.perf_counter()
        torch.cuda.synchronize()
        between = time.perf_counter()
        torch.autograd.grad(out, (packed.query, packed.key, packed.value), gradient)
        taken.append((called - began, time.perf_counter() - between))
    forward, backward = np.median(taken, axis=0)
    return float(forward), float(backward)


if __name__ == "__main__":
    main()
