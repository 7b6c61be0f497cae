"""Every weight of a part is trained."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from tunesmith.methods import Method

if TYPE_CHECKING:
    from torch import nn


class Full(Method):
    """All the part's own weights move. They are kept in fp32, and so are their gradients and the optimizer's
    states."""

    needs_float_weights: ClassVar[bool] = True

    kind: Literal["full"] = "full"

    def weights(self, part: dict[str, nn.Module]) -> list[str]:
        """Full names of all weights; one that has several names (a tied output head) comes once."""
        names: dict[int, str] = {}
        for module_name, module in part.items():
            for name, weight in module.named_parameters(recurse=False):
                names.setdefault(id(weight), f"{module_name}.{name}")
        return list(names.values())
