"""The settings of a classification head, which a task asks for and a model carries."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tunesmith.config.settings import Settings


class Head(Settings):
    """Layers on the model's final hidden states that give a number for each class."""

    pooling: Literal["mean", "last", "attention"] = "mean"
    """One vector of a question's tokens: their `mean`, the `last` one's, or a mean with learnt weights
    (`attention`)."""
    layers: Annotated[int, Field(ge=1)] = 2
    """Linear layers, with GELU between them."""
    hidden: Annotated[int, Field(ge=1)] = 1024
    """Width between the layers."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Share of each layer's inputs that is zeroed in training."""
    multi: bool = False
    """A record has any number of the classes, in a list; each class has a probability of its own."""
