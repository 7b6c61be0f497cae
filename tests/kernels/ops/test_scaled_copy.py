"""Copies of many small matrices."""

from __future__ import annotations

import torch

from tunesmith.kernels.ops.scaled_copy import ScaledCopies


def test_a_refresh_copies_the_sources_as_they_are_then() -> None:
    source, target = torch.ones(2, 3), torch.zeros(4, 5, dtype=torch.bfloat16)
    copies = ScaledCopies()
    copies.refresh()
    copies.add(source, target, scale=0.5)
    assert not target.any()
    for value in (4.0, 6.0):
        source.fill_(value)
        copies.refresh()
        assert (target[:2, :3] == value / 2).all()
    assert target.sum() == 2 * 3 * 3.0, "only the upper left is written"
