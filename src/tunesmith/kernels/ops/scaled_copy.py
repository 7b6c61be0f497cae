"""Many small matrices copied into others, each times a factor: target = scale * source.

A model with adapters has hundreds of small matrices in fp32 that products need in 16 bits at every forward pass. One
kernel launch for each would take longer than the copies themselves, so a single launch copies all of them: it reads
from a table on the device where each matrix lies and where its copy goes.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor


class ScaledCopy(NamedTuple):
    """A matrix that is copied into another one, times the scale."""

    source: Float[Tensor, "row column"]
    """Contiguous."""
    target: Float[Tensor, "row column"]
    """With contiguous columns."""
    scale: float


class ScaledCopies:
    """Copies that are made together; all sources have one dtype and device, and so have all targets."""

    def __init__(self) -> None:
        self._copies: list[ScaledCopy] = []
        self._table: tuple[list[int], Any] | None = None

    def add(self, source: Tensor, target: Tensor, scale: float = 1.0) -> None:
        """Copy `source` times the scale into the upper left of `target` at every `refresh` from now on."""
        rows, columns = source.shape
        self._copies.append(ScaledCopy(source, target[:rows, :columns], scale))

    @torch.no_grad()
    def refresh(self) -> None:
        """Copy the sources as they are now."""
        if not self._copies:
            return
        if not self._copies[0].source.is_cuda:
            for copy in self._copies:
                torch.mul(copy.source, copy.scale, out=copy.target)
            return
        from tunesmith.kernels.ops import scaled_copy_triton

        addresses = [copy.source.data_ptr() for copy in self._copies]
        if self._table is None or self._table[0] != addresses:
            self._table = addresses, scaled_copy_triton.table(self._copies)
        scaled_copy_triton.copy(self._copies, self._table[1])
