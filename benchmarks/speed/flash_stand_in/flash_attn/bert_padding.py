"""From padded batches to lines of tokens, and back."""

from __future__ import annotations

import torch
from torch.nn import functional


def index_first_axis(values: torch.Tensor, indices: torch.Tensor) -> torch.Tensor:
    """The rows of these numbers."""
    return values[indices]


def unpad_input(
    hidden: torch.Tensor, attention_mask: torch.Tensor, unused_mask: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, int, torch.Tensor]:
    """Tokens of (batch, token, ...) that the mask keeps, their places, bounds of the sequences, and lengths."""
    kept = attention_mask if unused_mask is None else attention_mask + unused_mask
    lengths = kept.sum(-1, dtype=torch.int32)
    places = kept.flatten().nonzero().flatten()
    bounds = functional.pad(lengths.cumsum(0, dtype=torch.int32), (1, 0))
    used = attention_mask.sum(-1, dtype=torch.int32)
    return hidden.reshape(-1, *hidden.shape[2:])[places], places, bounds, int(lengths.max()), used


def pad_input(values: torch.Tensor, places: torch.Tensor, batch: int, longest: int) -> torch.Tensor:
    """Tokens back in (batch, token, ...), zeros where there are none."""
    out = values.new_zeros(batch * longest, *values.shape[1:])
    return out.index_put((places,), values).reshape(batch, longest, *values.shape[1:])
