"""A part that stays as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from tunesmith.methods import Method

if TYPE_CHECKING:
    from torch import nn


class Frozen(Method):
    """Nothing of the part is trained; the same as not naming it."""

    kind: Literal["frozen"] = "frozen"

    def weights(self, part: dict[str, nn.Module]) -> list[str]:
        """No weights."""
        return []
