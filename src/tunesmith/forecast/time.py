"""How long training takes: the arithmetic of an update over the rate at which a device multiplies matrices."""

from __future__ import annotations

import time

import torch

EFFICIENCY = 0.78
"""Share of that rate that training reaches: the median of `benchmarks/memory/`, which tells the spread."""
_SECONDS = 0.2


def matrix_rate(device: torch.device, compute: torch.dtype = torch.bfloat16) -> float:
    """FLOP a second of a large square product on the device, measured for a fifth of a second."""
    side = 8192 if device.type == "cuda" else 1024
    one, other = (torch.randn(side, side, device=device, dtype=compute) for _ in range(2))
    out = one @ other
    _wait(device)
    began, products = time.perf_counter(), 0
    while (seconds := time.perf_counter() - began) < _SECONDS or not products:
        for _ in range(4):
            torch.mm(one, other, out=out)
        _wait(device)
        products += 4
    return 2 * side**3 * products / seconds


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
