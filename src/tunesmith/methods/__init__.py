"""The registry of methods: one file per way of training one part of a model."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from tunesmith.config.settings import Settings

if TYPE_CHECKING:
    from peft import LoraConfig
    from torch import nn


class Method(Settings):
    """What every method can do. A method only says what it would train; `model.trainable` carries it out."""

    needs_float_weights: ClassVar[bool] = False
    """True for a method that trains the model's own weights, which cannot be done while they are quantised."""

    adds_adapter: ClassVar[bool] = False
    """True for a method that leaves the model's own weights and trains others beside them."""

    kind: Any
    learning_rate: Annotated[float, Field(gt=0)] | None = None
    """Peak learning rate of this part; none is the optimizer's."""

    @abstractmethod
    def weights(self, part: dict[str, nn.Module]) -> list[str]:
        """Full names of the model's own weights that are trained, given the part's modules by full name."""

    def adapter(self, part: dict[str, nn.Module]) -> LoraConfig | None:
        """The adapter that is put on the part, its targets full module names; None for a method without one."""
        return None

    def left_out(self, part: dict[str, nn.Module]) -> list[str]:
        """Full names of weights that the settings ask to train, but that this method cannot train."""
        return []
