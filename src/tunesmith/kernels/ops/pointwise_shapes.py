"""What the kernels of `fused` take and give, without the work: for a forecast of memory on tensors without data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from tunesmith.kernels.ops.pointwise import Heads, Turning


def normalised(hidden: Tensor, *_: Any) -> tuple[Tensor, Tensor]:
    """See `fused.normalised`."""
    return torch.empty_like(hidden), hidden.new_empty(len(hidden), dtype=torch.float32)


def through_norm(gradient: Tensor, *_: Any) -> Tensor:
    """See `fused.through_norm`."""
    return torch.empty_like(gradient)


def of_norm(gradient: Tensor, *_: Any) -> Tensor:
    """See `fused.of_norm`."""
    return gradient.new_empty(gradient.shape[1], dtype=torch.float32)


def summed(rows: Tensor, *_: Any) -> Tensor:
    """See `fused.summed`; written over the rows."""
    return rows


def gated(both: Tensor, to_gate: Any, to_up: Any, down: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """See `fused.gated`."""
    opened = both.new_empty(len(both), both.shape[1] // 2)
    return opened, None if down is None else both.new_empty(len(both), len(down))


def through_gate(
    gradient: Tensor, both: Tensor, to_gate: Any, to_up: Any, more: Any
) -> tuple[Tensor, Tensor, Tensor | None]:
    """See `fused.through_gate`; written over what is given."""
    rank = sum(one.up.shape[1] for one in (to_gate, to_up) if one)
    return both, gradient, both.new_empty(len(both), rank) if rank else None


def nats(logits: Tensor, targets: Any) -> tuple[Tensor, Tensor]:
    """See `fused.nats`."""
    each = logits.new_empty(len(logits), dtype=torch.float32)
    return each, torch.empty_like(each)


def through_nats(gradient: Tensor, logits: Tensor, *_: Any) -> Tensor:
    """See `fused.through_nats`; written over the logits."""
    return logits


def turned(rows: Tensor, heads: Heads, turning: Turning) -> tuple[Tensor, ...]:
    """See `fused.turned`; written over the rows if there are no norms."""
    queries, keys, values = rows.split(heads.sizes, dim=1)
    if turning.weights is not None:
        sizes = heads.sizes[:2]
        queries, keys = rows.new_empty(len(rows), sum(sizes)).split(sizes, dim=1)
    return queries, keys, values


def turned_back(
    gradients: tuple[Tensor, ...],
    rows: Tensor | None,
    heads: Heads,
    turning: Turning,
    of_weights: bool = False,
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """See `fused.turned_back`."""
    of_rows = gradients[0].new_empty(len(gradients[0]), sum(heads.sizes))
    # One part a token lies there until they are summed.
    parts = of_rows.new_empty(2, len(of_rows), heads.width, dtype=torch.float32) if of_weights else None
    return of_rows, () if parts is None else tuple(parts.sum(1))
