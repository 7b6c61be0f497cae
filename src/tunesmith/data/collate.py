"""From examples to a packed batch of tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from tunesmith.data.batch import Batch, Segments
from tunesmith.data.example import Example


def collate(examples: Sequence[Example]) -> Batch:
    """The examples laid end to end, on the CPU. The first token of an example is never a target: nothing of the
    same example stands before it."""
    lengths = [len(example) for example in examples]
    segments = Segments.end_to_end(lengths)
    tokens = torch.from_numpy(np.concatenate([example.tokens for example in examples])).long()
    trained = torch.from_numpy(np.concatenate([example.trained for example in examples]))
    positions = torch.cat([torch.arange(length) for length in lengths])
    targeted = (trained & (positions > 0)).nonzero().squeeze(-1)
    return Batch(tokens, positions, targeted - 1, tokens[targeted], segments)


def to_device(batch: Batch, device: torch.device) -> Batch:
    """The batch with its tensors on the device, copied asynchronously; the segment table stays on the CPU."""
    if device.type == "cpu":
        return batch

    def move(tensor: torch.Tensor) -> torch.Tensor:
        return tensor.pin_memory().to(device, non_blocking=True)

    return replace(
        batch,
        tokens=move(batch.tokens),
        positions=move(batch.positions),
        predicting=move(batch.predicting),
        targets=move(batch.targets),
    )
