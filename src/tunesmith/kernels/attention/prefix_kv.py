"""Keys and values of a line in which segments go on from others, laid out so that each segment has all that it sees
side by side, as variable-length kernels want it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from tunesmith.batching.batch import Segments


@dataclass(frozen=True, eq=False)
class Spread:
    """Where each row comes from, and where the gradients of a row are to be found again."""

    rows: Int[Tensor, " spread"]
    """Token of each row."""
    own: Int[Tensor, " token"]
    """Row in which each token stands for its own segment."""
    shared: tuple[tuple[int, int, Int[Tensor, "_ _"]], ...]
    """First token of each beginning, one after its last, and its rows, one line for each segment that goes on."""

    @staticmethod
    def of(segments: Segments, device: torch.device) -> Spread:
        """For all segments, each with what it continues before it."""
        starts, sizes, parents = (
            column.tolist() for column in (segments.starts, segments.lengths, segments.continues)
        )
        pieces, own = [], [np.empty(0, np.int64)] * len(starts)
        shared: dict[int, list[np.ndarray]] = {}
        at = 0
        for number, (start, size, parent) in enumerate(zip(starts, sizes, parents, strict=True)):
            if parent >= 0:
                pieces.append(starts[parent] + np.arange(sizes[parent]))
                shared.setdefault(parent, []).append(at + np.arange(sizes[parent]))
                at += sizes[parent]
            pieces.append(start + np.arange(size))
            own[number] = at + np.arange(size)
            at += size

        def on_device(array: Any) -> Tensor:
            return torch.from_numpy(array).to(device)

        return Spread(
            on_device(np.concatenate(pieces)),
            on_device(np.concatenate(own)),
            tuple(
                (starts[parent], starts[parent] + sizes[parent], on_device(np.stack(places)))
                for parent, places in shared.items()
            ),
        )

    def __call__(self, rows: Tensor) -> Tensor:
        """The rows, one for each token, spread out."""
        return _Spread.apply(rows, self)  # type: ignore[no-any-return]


class _Spread(torch.autograd.Function):
    """Gradients are fetched and summed, which gives the same bits every time, rather than added up where they meet."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, spread: Spread) -> Tensor:
        ctx.spread = spread
        return rows[spread.rows]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (gradient,) = gradients
        found = gradient[ctx.spread.own]
        for start, end, places in ctx.spread.shared:
            found[start:end] += gradient[places].sum(0)
        return found, None
