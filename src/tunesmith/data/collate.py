"""From examples to a packed batch of tensors."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from tunesmith.data.batch import Batch, Pixels, Segments
from tunesmith.data.example import Example
from tunesmith.data.positions import joined, positions_of

Moved = TypeVar("Moved", Batch, Pixels)

_MOST_WORKERS = 16


def collate(examples: Sequence[Example], workers: int = 1) -> Batch:
    """The examples laid end to end, on the CPU, their pictures read by so many threads. The first token of an
    example is never a target: nothing of the same example stands before it."""
    lengths = [len(example) for example in examples]
    segments = Segments.end_to_end(lengths)
    tokens = torch.from_numpy(np.concatenate([example.tokens for example in examples])).long()
    trained = torch.from_numpy(np.concatenate([example.trained for example in examples]))
    positions = torch.from_numpy(joined([positions_of(example) for example in examples]))
    trained[segments.starts.long()] = False
    targeted = trained.nonzero().squeeze(-1)
    pixels = collate_pixels(examples, segments.starts.tolist(), workers)
    labels = _labels(examples)
    return Batch(tokens, positions, targeted - 1, tokens[targeted], segments, pixels, labels)


def _labels(examples: Sequence[Example]) -> Int[Tensor, "label 2"] | None:
    """Number of the example and class of every label; None if an example has no classes."""
    pairs = []
    for number, example in enumerate(examples):
        if example.classes is None:
            return None
        pairs += [(number, one) for one in example.classes]
    return torch.tensor(pairs, dtype=torch.long).reshape(-1, 2)


def collate_pixels(examples: Sequence[Example], starts: Sequence[int], workers: int = 1) -> Pixels | None:
    """The pictures of examples that begin at these tokens of a line, read by so many threads; None if there are
    none."""
    placed = [
        (start, one) for start, example in zip(starts, examples, strict=True) for one in example.pictures
    ]
    if not placed:
        return None
    from tunesmith.data.pixels import read_patches

    pictures = [one for _, one in placed]
    spans = [start + one.start + np.arange(one.num_tokens) for start, one in placed]
    return Pixels(
        patches=torch.from_numpy(read_patches(pictures, workers)),
        grids=torch.tensor([one.grid for one in pictures]),
        tokens=torch.from_numpy(np.concatenate(spans)),
    )


def default_workers() -> int:
    """Threads that read pictures unless a setting says otherwise: one a core, at most 16."""
    return min(os.cpu_count() or 1, _MOST_WORKERS)


def to_device(batch: Batch, device: torch.device) -> Batch:
    """The batch with its tensors on the device, copied asynchronously; segment table and grids stay on the
    CPU."""
    if device.type == "cpu":
        return batch
    names = ("tokens", "positions", "predicting", "targets")
    pixels = batch.pixels and _moved(batch.pixels, ("patches", "tokens"), device)
    labels = None if batch.labels is None else batch.labels.pin_memory().to(device, non_blocking=True)
    return replace(_moved(batch, names, device), pixels=pixels, labels=labels)


def _moved(holder: Moved, names: Sequence[str], device: torch.device) -> Moved:
    return replace(
        holder,
        **{name: vars(holder)[name].pin_memory().to(device, non_blocking=True) for name in names},
    )
