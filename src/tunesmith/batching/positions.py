"""Positions of an example's tokens: a line for text; with pictures three axes (M-RoPE: Wang et al. 2024, Qwen2-VL,
section 2.1)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int64

from tunesmith.batching.example import Example, Placed


def positions_of(example: Example) -> Int64[np.ndarray, "axis token"]:
    """Time, height and width of every token; one axis for an example without pictures.

    A picture's tokens have one time and count rows and columns from there; the text after it goes on after the
    larger of the two.
    """
    if not example.pictures:
        return np.arange(len(example))[None]
    return with_pictures(len(example), example.pictures)


def with_pictures(num_tokens: int, pictures: Sequence[Placed]) -> Int64[np.ndarray, "3 token"]:
    """Time, height and width of so many tokens, among which these pictures stand."""
    pieces, at, position = [], 0, 0
    for placed in pictures:
        text = placed.start - at
        pieces.append(np.broadcast_to(position + np.arange(text), (3, text)))
        position += text
        rows, columns = np.divmod(np.arange(placed.num_tokens), placed.columns)
        pieces.append(position + np.stack([np.zeros_like(rows), rows, columns]))
        position += max(placed.rows, placed.columns)
        at = placed.start + placed.num_tokens
    pieces.append(np.broadcast_to(position + np.arange(num_tokens - at), (3, num_tokens - at)))
    return np.concatenate(pieces, axis=1)


def joined(pieces: Sequence[Int64[np.ndarray, "_ _"]]) -> Int64[np.ndarray, "axis token"]:
    """Positions of several examples end to end; those of text get three equal axes if any has three."""
    axes = max(len(piece) for piece in pieces)
    return np.concatenate([np.broadcast_to(piece, (axes, piece.shape[1])) for piece in pieces], axis=1)
