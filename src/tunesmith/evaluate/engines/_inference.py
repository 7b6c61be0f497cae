"""What all engines do around a forward pass."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import torch

from tunesmith.errors import DataError
from tunesmith.model.loaded import LoadedModel


@contextmanager
def inference(loaded: LoadedModel) -> Iterator[None]:
    """Within it the model is in eval mode and keeps no gradients; afterwards every module is as it was."""
    training = [module for module in loaded.modules if module.training]
    loaded.train(False)
    try:
        # Not inference_mode: what layers keep (rotary tables, int8 statistics) could never be trained with.
        with torch.no_grad(), loaded.precision():
            yield
    finally:
        for module in training:
            module.training = True


def refuse_too_long(sizes: Iterable[tuple[str, int]], limit: int, remedy: str) -> None:
    """Raise DataError with all records (20 and a count) that need more tokens than the model allows."""
    over = [f"{record}: {size} tokens" for record, size in sizes if size > limit]
    if over:
        more = f"\nand {len(over) - 20} more" if len(over) > 20 else ""
        raise DataError(
            "\n".join(over[:20]) + more + f"\nare over what the model's positions allow ({limit}). {remedy}"
        )


def batches(sizes: Sequence[int], limit: int, padded: bool) -> Iterator[list[int]]:
    """Indices of items of these sizes, largest first, in batches of at most `limit` tokens (or one item).

    In a padded batch every item counts as its largest.
    """
    batch: list[int] = []
    filled = 0
    for index in sorted(range(len(sizes)), key=lambda index: -sizes[index]):
        size = sizes[batch[0]] if batch and padded else sizes[index]
        if batch and filled + size > limit:
            yield batch
            batch, filled, size = [], 0, sizes[index]
        batch.append(index)
        filled += size
    if batch:
        yield batch
