"""PEFT's adapters: put on a model, recognised, and compared."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import nn

from tunesmith.errors import ModelError, counted
from tunesmith.kernels.fusion.lora_linear import apply_lora_forward
from tunesmith.kernels.modules import is_adapter, own_name

if TYPE_CHECKING:
    from peft import LoraConfig, PeftModel

ONCE = ("lora_dropout", "use_rslora", "use_dora", "init_lora_weights", "bias")
"""Settings that an adapter has once, whatever the number of its parts."""


_FOR_EXPERTS = "Of a model with experts, only attention can have adapters: set targets: attention"


class Shape(NamedTuple):
    """What makes one layer's adapter fit another's weights."""

    rank: int
    scale: float
    """What the adapter adds is multiplied by it."""

    def __str__(self) -> str:
        return f"rank {self.rank} and scale {self.scale:g}"


@contextmanager
def quietly() -> Iterator[None]:
    """Within it PEFT may be called: PEFT 0.21 asks transformers for a property that transformers 5.23
    deprecates."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
        yield


def has_adapter(model: nn.Module) -> bool:
    """True if an adapter is on the model."""
    return any(is_adapter(name) for name, _ in model.named_parameters())


def put_on(model: nn.Module, configs: Mapping[str, LoraConfig], seed: int) -> PeftModel:
    """The model with one adapter over all parts that have a config; it begins the same for the same seed. ModelError if
    PEFT puts it elsewhere."""
    from peft import get_peft_model

    wanted = _shapes_of(configs)
    try:
        with torch.random.fork_rng(), quietly():
            torch.manual_seed(seed)
            wrapped = get_peft_model(model, _joined(configs))  # type: ignore[arg-type]
        others = sorted(_shapes_on(wrapped).items() ^ wanted.items())
    except ValueError as error:
        raise ModelError(f"stages.parts: PEFT refuses these targets ({error}). {_FOR_EXPERTS}") from error
    if others:
        named = counted(len(wanted), "layer that was", "layers that were")
        raise ModelError(
            f"stages.parts: PEFT puts adapters on other weights than the {named} named (on {others[0][0]}). "
            f"{_FOR_EXPERTS}"
        )
    apply_lora_forward(wrapped)
    return wrapped  # type: ignore[return-value]


def refuse_other_shape(model: PeftModel, configs: Mapping[str, LoraConfig]) -> None:
    """Raise ModelError unless the adapter on the model is what the configs describe."""
    earlier, asked = model.peft_config["default"], _joined(configs)
    had, wanted = _shapes_on(model), _shapes_of(configs)
    differences = [
        f"{name} was {vars(earlier)[name]}, now {vars(asked)[name]}"
        for name in ("use_dora", "bias")
        if vars(earlier)[name] != vars(asked)[name]
    ]
    if had.keys() != wanted.keys():
        differences.append(f"{len(had)} layers had an adapter, now {len(wanted)}")
    elif had != wanted:
        name = next(name for name in had if had[name] != wanted[name])
        differences.append(f"{name} had {had[name]}, now {wanted[name]}")
    if differences:
        raise ModelError(
            f"stages.parts: the earlier stage's adapter has another shape ({'; '.join(differences)}). Give "
            "this stage the same settings, or set start: new to merge the earlier one and put on another"
        )


def _joined(configs: Mapping[str, LoraConfig]) -> LoraConfig:
    """One PEFT config for all parts; ModelError if they differ in what one adapter can only have once."""
    for name in ONCE:
        values = {part: vars(config)[name] for part, config in configs.items()}
        if len(set(values.values())) > 1:
            said = ", ".join(f"{part} {value}" for part, value in values.items())
            raise ModelError(f"stages.parts: the parts share one adapter, but differ in {name} ({said})")
    first, *others = configs.values()
    return replace(
        first,
        target_modules=sorted(_shapes_of(configs)),
        rank_pattern={target: config.r for config in others for target in config.target_modules or ()},
        alpha_pattern={
            target: config.lora_alpha for config in others for target in config.target_modules or ()
        },
    )


def _shapes_of(configs: Mapping[str, LoraConfig]) -> dict[str, Shape]:
    """By the full name of the layer, as the configs say it."""
    return {
        target: Shape(config.r, config.lora_alpha / (math.sqrt(config.r) if config.use_rslora else config.r))
        for config in configs.values()
        for target in config.target_modules or ()
    }


def _shapes_on(model: nn.Module) -> dict[str, Shape]:
    """By the full name of the layer, as they are on the model."""
    from peft.tuners.lora import LoraLayer

    return {
        own_name(name): Shape(module.r["default"], module.scaling["default"])
        for name, module in model.named_modules()
        if isinstance(module, LoraLayer)
    }
