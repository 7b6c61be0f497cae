"""Prefix KV gather: keys and values laid out so that a segment follows the prefix that it continues.

Several segments may continue the same prefix, which lies in the packed micro-batch once. Variable-length kernels want
all keys of a segment next to each other, so the prefix is copied in front of each segment that continues it. The
gradient of a prefix is the sum of those of its copies.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from tunesmith.batching.batch import Segments


@dataclass(frozen=True, eq=False)
class PrefixGather:
    """Where each row is gathered from, and which rows' gradients belong to a token."""

    rows: Int[Tensor, " gathered"]
    """Token of each row."""
    own: Int[Tensor, " token"]
    """Row of each token within its own segment."""
    shared: tuple[tuple[int, int, Int[Tensor, "_ _"]], ...]
    """For each prefix: its first token, the token after its last, and its rows, (copy, token)."""

    @staticmethod
    def for_segments(segments: Segments, device: torch.device) -> PrefixGather:
        """For all segments, each behind the prefix that it continues."""
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

        return PrefixGather(
            on_device(np.concatenate(pieces)),
            on_device(np.concatenate(own)),
            tuple(
                (starts[parent], starts[parent] + sizes[parent], on_device(np.stack(places)))
                for parent, places in shared.items()
            ),
        )

    def __call__(self, x: Tensor) -> Tensor:
        """Keys or values, (token, head, head_dim), gathered."""
        return _Gather.apply(x, self)  # type: ignore[no-any-return]


class _Gather(torch.autograd.Function):
    """The gradients of copies are gathered and summed, not added atomically, so that results repeat to the last bit."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, gather: PrefixGather) -> Tensor:
        ctx.gather = gather
        return x[gather.rows]

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None]:
        (grad_output,) = grad_outputs
        grad_x = grad_output[ctx.gather.own]
        for start, end, places in ctx.gather.shared:
            grad_x[start:end] += grad_output[places].sum(0)
        return grad_x, None
