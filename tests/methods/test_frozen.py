from __future__ import annotations

from torch import nn

from tunesmith.methods.frozen import Frozen


def test_nothing_of_a_frozen_part_is_trained() -> None:
    part = {"layer": nn.Linear(2, 2)}
    assert Frozen().weights(part) == []
    assert Frozen().adapter(part) is None
