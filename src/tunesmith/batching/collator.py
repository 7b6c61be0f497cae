"""From examples to a packed batch of tensors."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from tunesmith.batching.batch import Batch, Pixels, Segments
from tunesmith.batching.example import Example
from tunesmith.batching.positions import joined
from tunesmith.batching.shared_prefixes import pieces_of

Held = TypeVar("Held", Batch, Pixels)

_MOST_WORKERS = 16


def collate(examples: Sequence[Example], workers: int = 1, share: bool = False) -> Batch:
    """The examples laid end to end, on the CPU, their pictures read by so many workers; with `share`, what some of
    them begin with is laid out once. The first token of an example is never a target: nothing of the same example
    stands before it."""
    pieces = pieces_of(examples, share)
    made = [piece.example for piece in pieces]
    segments = Segments.end_to_end([len(one) for one in made], [piece.continues for piece in pieces])
    tokens = torch.from_numpy(np.concatenate([one.tokens for one in made])).long()
    trained = torch.from_numpy(np.concatenate([one.trained for one in made]))
    positions = torch.from_numpy(joined([piece.positions for piece in pieces]))
    starts, parents = segments.starts.long(), segments.continues.long()
    trained[starts[parents < 0]] = False
    targeted = trained.nonzero().squeeze(-1)
    before = torch.arange(-1, len(tokens) - 1)
    # The first token after a shared beginning is predicted from the beginning's last.
    going_on = parents >= 0
    before[starts[going_on]] = (starts + segments.lengths.long() - 1)[parents[going_on]]
    pixels = collate_pixels(made, segments.starts.tolist(), workers)
    labels = _labels(examples, [piece.end_of for piece in pieces])
    return Batch(tokens, positions, before[targeted], tokens[targeted], segments, pixels, labels)


def _labels(examples: Sequence[Example], ends: Sequence[int]) -> Int[Tensor, "label 2"] | None:
    """Segment and class of every label, given the example that each segment is the end of (-1 for none); None if an
    example has no classes."""
    pairs = []
    for segment, number in enumerate(ends):
        classes = examples[number].classes if number >= 0 else ()
        if classes is None:
            return None
        pairs += [(segment, one) for one in classes]
    return torch.tensor(pairs, dtype=torch.long).reshape(-1, 2)


def collate_pixels(examples: Sequence[Example], starts: Sequence[int], workers: int = 1) -> Pixels | None:
    """The pictures of examples that begin at these tokens of a line, read by so many workers; None if there are
    none."""
    placed = [
        (start, one) for start, example in zip(starts, examples, strict=True) for one in example.pictures
    ]
    if not placed:
        return None
    from tunesmith.batching.decode_workers import read_patches

    pictures = [one for _, one in placed]
    spans = [start + one.start + np.arange(one.num_tokens) for start, one in placed]
    return Pixels(
        patches=torch.from_numpy(read_patches(pictures, workers)),
        grids=torch.tensor([one.grid for one in pictures]),
        tokens=torch.from_numpy(np.concatenate(spans)),
    )


def default_workers(device: torch.device) -> int:
    """Processes that read pictures unless a setting says otherwise: for a GPU one a core but one, at most 16; a CPU
    has no core to spare."""
    spare = max(1, (os.cpu_count() or 1) - 1)
    return min(spare, _MOST_WORKERS) if device.type == "cuda" else 1


def pinned(batch: Batch, device: torch.device) -> Batch:
    """The batch in memory from which a GPU copies by itself; as it is for a CPU. Worth doing ahead: it takes a copy."""
    return batch if device.type == "cpu" else _each(batch, torch.Tensor.pin_memory)


def to_device(batch: Batch, device: torch.device) -> Batch:
    """The batch with its tensors on the device, copied asynchronously; segment table and grids stay on the
    CPU."""
    if device.type == "cpu":
        return batch
    return _each(pinned(batch, device), lambda tensor: tensor.to(device, non_blocking=True))


def _each(batch: Batch, change: Callable[[torch.Tensor], torch.Tensor]) -> Batch:
    """The batch with its large tensors changed."""
    names = ("tokens", "positions", "predicting", "targets")
    pixels = batch.pixels and _changed(batch.pixels, ("patches", "tokens"), change)
    labels = None if batch.labels is None else change(batch.labels)
    return replace(_changed(batch, names, change), pixels=pixels, labels=labels)


def _changed(holder: Held, names: Sequence[str], change: Callable[[torch.Tensor], torch.Tensor]) -> Held:
    changed: dict[str, Any] = {name: change(vars(holder)[name]) for name in names}
    return replace(holder, **changed)
