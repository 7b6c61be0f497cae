"""A model of the real shapes without a single weight, made trainable as a stage says: what a forecast is taken from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch._subclasses import fake_tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from transformers import AutoModelForCausalLM, AutoModelForImageTextToText

from tunesmith import kernels
from tunesmith.config.experiment import QUANTISED
from tunesmith.config.head import Head
from tunesmith.forecast import fake_kernels
from tunesmith.kernels.attention import packed
from tunesmith.kernels.fusion.patch import apply_fused_layers
from tunesmith.kernels.modules import adapted_layer, is_adapter, own_name
from tunesmith.methods import Method
from tunesmith.model import activation_offload
from tunesmith.model.families import Family
from tunesmith.model.families._vision_tower import forget_layouts
from tunesmith.model.heads import ClassHead, hidden_width
from tunesmith.model.loaded import LoadedModel
from tunesmith.model.trainable import Trainable, make_trainable
from tunesmith.precision.kernel_backend import shapes_only
from tunesmith.precision.quantize import without_ends

CPU = torch.device("cpu")
_KNOWN = 2**16
"""Entries of the largest tensor whose values are known, if it was made of numbers."""


@dataclass(frozen=True)
class Machine:
    """How a model would run on a device, which need not be here."""

    attention: str = "varlen"
    kernels: str = "fused"

    @staticmethod
    def of(device: torch.device, compute: torch.dtype) -> Machine:
        """What training takes on this device if nothing else is asked for."""
        return Machine(packed.choose("auto", device, compute)[0], kernels.choose("auto", device, compute)[0])


GPU = Machine()


@dataclass(frozen=True, eq=False)
class Skeleton:
    """A trainable model whose tensors have shapes and precisions but no data."""

    trainable: Trainable
    mode: FakeTensorMode
    weights: Mapping[str, int]
    """Bytes of each part's weights, those of its adapters too."""

    @property
    def loaded(self) -> LoadedModel:
        """The model."""
        return self.trainable.loaded

    @property
    def trained(self) -> list[nn.Parameter]:
        """All weights that are trained."""
        return [weight for group in self.trainable.groups for weight in group.parameters.values()]

    @property
    def tensors(self) -> list[Tensor]:
        """Everything that is there before training begins."""
        return [
            tensor for module in self.loaded.modules for tensor in _own_tensors(module) if tensor is not None
        ]

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Within it, operations are done without data; random numbers go on as if they had not been."""
        with ExitStack() as stack:
            stack.enter_context(torch.random.fork_rng(devices=[]))
            stack.callback(forget_layouts)
            forget_layouts()
            # Lengths of windows and ends of lines are asked for as numbers, so such small tensors must be known.
            stack.enter_context(patch.object(fake_tensor, "CONSTANT_NUMEL_LIMIT", _KNOWN))
            stack.enter_context(patch.dict(activation_offload.STORES, {"cpu": fake_kernels.OnHost}))
            stack.enter_context(shapes_only())
            stack.enter_context(self.mode)
            yield


def skeleton(
    family: Family,
    precisions: Mapping[str, str],
    methods: Mapping[str, Method],
    machine: Machine = GPU,
    head: tuple[Head, tuple[str, ...]] | None = None,
) -> Skeleton:
    """The model that `model.load` and `model.trainable` would give: `precisions` of weights by part, `head` its
    settings and labels. Takes no memory to speak of; ModelError as those two."""
    in_fp32 = precisions["language"] == "fp32"
    compute = torch.float32 if in_fp32 else torch.bfloat16
    auto: Any = AutoModelForImageTextToText if family.has_vision else AutoModelForCausalLM
    # The family's own config is also that of a model that may be loaded.
    config = deepcopy(family.config)
    vars(config).pop("quantization_config", None)
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        model = auto.from_config(config, dtype=compute)
        made = ClassHead(*head, hidden_width(family.config)) if head else None
    on_gpu = machine.attention in ("varlen", "flash_attention_2")
    packed.use(model, machine.attention)
    if on_gpu:
        model.set_attn_implementation(fake_kernels.ATTENTION)
        fake_kernels.as_autocast_on_gpu(model)
    if machine.kernels != "none":
        fake_kernels.replace_layers(model, family)
    family.post_load(model)
    for precision, names in _to_quantise(model, family, precisions).items():
        fake_kernels.quantise(model, precision, names)
    model.requires_grad_(False)
    fused = machine.kernels if compute == torch.bfloat16 else "none"
    loaded = LoadedModel(model, family, CPU, compute, machine.attention, kernels=fused, head=made)
    # What trains begins at random, which takes no data here.
    trainable = make_trainable(loaded, methods, seed=0)
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    with mode:
        trainable = _without_data(trainable)
        if fused == "fused":  # Again, since `make_trainable` fused the weights that were replaced now.
            apply_fused_layers(trainable.loaded.model, family, compute)
    trainable.loaded.train()
    return Skeleton(trainable, mode, _bytes_by_part(trainable))


def _to_quantise(model: nn.Module, family: Family, precisions: Mapping[str, str]) -> dict[str, set[str]]:
    """Full names of the linear layers in quantised parts, by precision; the output layer stays as it is, and those at
    the ends are not in 8 bits."""
    found: dict[str, set[str]] = {}
    for part, modules in family.parts(model).items():
        precision = precisions[part]
        if precision not in QUANTISED:
            continue
        names = [name for name, one in modules.items() if isinstance(one, nn.Linear) and name != "lm_head"]
        inner = without_ends(names) if precision.endswith("fp8") else names
        found.setdefault(precision, set()).update(inner)
        if precision == "nf4-fp8":
            found.setdefault("nf4", set()).update(set(names).difference(inner))
    return found


def _without_data(trainable: Trainable) -> Trainable:
    """The same with tensors on the CPU that have no data, tied ones still tied."""
    made: dict[int, nn.Parameter] = {}

    def fresh(weight: nn.Parameter) -> nn.Parameter:
        if id(weight) not in made:
            empty = torch.empty(weight.shape, dtype=weight.dtype)
            made[id(weight)] = nn.Parameter(empty, requires_grad=weight.requires_grad)
        return made[id(weight)]

    for module in trainable.loaded.modules:
        for name, weight in module._parameters.items():
            module._parameters[name] = None if weight is None else fresh(weight)
        for name, buffer in module._buffers.items():
            module._buffers[name] = None if buffer is None else torch.empty(buffer.shape, dtype=buffer.dtype)
    groups = tuple(
        replace(group, parameters={name: made[id(weight)] for name, weight in group.parameters.items()})
        for group in trainable.groups
    )
    return replace(trainable, groups=groups)


def _bytes_by_part(trainable: Trainable) -> dict[str, int]:
    loaded = trainable.loaded
    parts = loaded.family.parts(loaded.model)
    part_of = {name: part for part, modules in parts.items() for name in modules}
    found = dict.fromkeys(parts, 0)
    for name, weight in loaded.model.named_parameters():
        module = adapted_layer(name) if is_adapter(name) else own_name(name).rpartition(".")[0]
        found[part_of[module]] += weight.nbytes
    if loaded.head is not None:
        found["head"] = sum(weight.nbytes for weight in loaded.head.parameters())
    return found


def _own_tensors(module: nn.Module) -> Iterator[Tensor | None]:
    yield from module._parameters.values()
    yield from module._buffers.values()
