"""Training time: the FLOP of an update divided by the rate at which a device multiplies matrices."""

from __future__ import annotations

import time

import torch

EFFICIENCY = 0.78
"""Fraction of the matrix rate that training reaches: the median of `benchmarks/memory.py`."""
_SECONDS = 0.2


def matrix_rate(device: torch.device, compute: torch.dtype = torch.bfloat16) -> float:
    """FLOP per second of a large square product on the device, measured for a fifth of a second."""
    side = 8192 if device.type == "cuda" else 1024
    left, right = (torch.randn(side, side, device=device, dtype=compute) for _ in range(2))
    out = left @ right
    _wait(device)
    start, num_products = time.perf_counter(), 0
    while (seconds := time.perf_counter() - start) < _SECONDS or not num_products:
        for _ in range(4):
            torch.mm(left, right, out=out)
        _wait(device)
        num_products += 4
    return 2 * side**3 * num_products / seconds


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
