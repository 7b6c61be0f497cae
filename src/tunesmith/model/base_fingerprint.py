"""A fingerprint of the base model, by which another model of the same shape is recognised."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from tunesmith.errors import ModelError
from tunesmith.kernels.modules import own_modules
from tunesmith.model.loaded import LoadedModel

_ROWS = 64
"""Of an embedding: they are the most frequent characters."""


def traits_of(loaded: LoadedModel) -> dict[str, str]:
    """Hashes of each norm's weight and of the first rows of each embedding, by full name.

    Weights that differ from the model's folder are left out.

    No precision quantises them, they are few, and training a whole model changes them: so they tell a model from its
    Instruct version. They do not tell it from one into which an adapter was merged.
    """
    named = ((f"{name}.weight", module) for name, module in own_modules(loaded.model).items())
    few = {name: _few(module) for name, module in named if name not in loaded.changed}
    return {name: _hash(weight) for name, weight in few.items() if weight is not None}


def refuse_other_base(loaded: LoadedModel, stated: Mapping[str, str], path: str, result: str) -> None:
    """Raise ModelError if the model is not the base that `result` was trained on."""
    own = traits_of(loaded)
    both = own.keys() & stated.keys()
    others = sorted(name for name in both if own[name] != stated[name])
    if others:
        raise ModelError(
            f"model.path: {path} has the shape of the model that {result} was trained on, but is another one "
            f"({len(others)} of {len(both)} weights that were compared differ, such as {others[0]}). Give the one that "
            "it was trained on"
        )


def checksum(tensor: Tensor) -> int:
    """The sum of a tensor's bytes, taken as whole numbers of its own width, modulo 2**64."""
    kinds = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
    return int(tensor.detach().contiguous().view(kinds[tensor.element_size()]).sum(dtype=torch.int64))


def _few(module: nn.Module) -> torch.Tensor | None:
    """The weights of a module that are compared, if any."""
    weight = vars(module)["_parameters"].get("weight")
    if isinstance(module, nn.Embedding):
        return module.weight[:_ROWS]
    return weight if weight is not None and weight.ndim == 1 else None


def _hash(weight: torch.Tensor) -> str:
    # In bf16 a model is the same whether it was loaded in bf16 or in fp32.
    rounded = weight.detach().to("cpu", torch.bfloat16).contiguous().view(torch.int16)
    return hashlib.sha256(rounded.numpy().tobytes()).hexdigest()[:16]
