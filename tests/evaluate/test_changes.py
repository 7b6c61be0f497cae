from __future__ import annotations

import numpy as np

from tunesmith.evaluate.changes import Draft, perhaps_worse, settled
from tunesmith.evaluate.significance import Signs


def draft(name: str, lost: int, number: int = 40, signs: Signs | None = None) -> Draft:
    """A share that loses so many answers of 40 and gains none."""
    signs = signs or Signs.drawn(number, 999, 1)
    differences = np.where(np.arange(number) < lost, -1.0, 0.0)
    exchanged = signs.sums(np.arange(number), differences[:, None])[:, 0]
    low, high = (-0.3, -0.01) if lost >= 5 else (-0.2, 0.1)
    p_alone = 0.5**lost if lost else 1.0
    return Draft(
        name, True, 0.9, 0.9 - lost / number, low, high, p_alone, "swaps", None, float(-lost), exchanged
    )


def test_what_is_tested_alone_is_not_corrected_and_a_family_is() -> None:
    found = [draft("f1/a", 6), *(draft(f"f1/{index}", 3) for index in range(20))]
    alone = settled({found[0]: None}, False)[found[0]]
    assert (alone.p_value, alone.verdict) == (alone.p_alone, "worse")
    (together, *_) = settled(dict.fromkeys(found, "classes"), False).values()
    assert together.p_alone == alone.p_alone
    assert together.p_value > alone.p_value


def test_a_loss_that_does_not_survive_the_correction_is_named_apart_if_at_all() -> None:
    """Two losses of p 0.0156 among others that did not change, each in records of its own."""
    chance = np.random.default_rng(0)

    def one(name: str, p_alone: float, change: float) -> Draft:
        exchanged = chance.choice([-1.0, 1.0], size=(999, 6)).sum(1)
        low, high = (-0.3, -0.01) if change else (-0.1, 0.1)
        second = 0.9 + change / 10
        return Draft(name, True, 0.9, second, low, high, p_alone, "swaps", None, change, exchanged, 6**0.5)

    losses = [one("f1/a", 0.0156, -6.0), one("f1/b", 0.0156, -6.0)]
    few = settled(dict.fromkeys([*losses, one("f1/c", 1.0, 0.0)], "classes"), False)
    assert {few[loss].verdict for loss in losses} == {"no clear change"}
    assert perhaps_worse(few) == losses
    many = [one(f"f1/{index}", 1.0, 0.0) for index in range(30)]
    assert perhaps_worse(settled(dict.fromkeys([*losses, *many], "classes"), False)) == []


def test_a_gain_is_never_perhaps_worse() -> None:
    gain = Draft("f1/a", True, 0.5, 0.7, 0.1, 0.3, 0.03, "swaps", None, 0.2, np.full(99, 0.3))
    loss = Draft("f1/b", True, 0.7, 0.5, -0.3, -0.1, 0.03, "swaps", None, -0.2, np.full(99, 0.3))
    assert perhaps_worse(settled({gain: "all", loss: "all"}, False)) == [loss]
    lower_is_better = Draft(
        "log_loss", True, 0.7, 0.5, -0.3, -0.1, 0.03, "swaps", None, -0.2, np.full(99, 0.3)
    )
    assert perhaps_worse(settled({lower_is_better: "all", gain: "all"}, False)) == []
