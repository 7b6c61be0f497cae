"""Fake models: real shapes without data, trainable as a stage says. Forecasts of memory run them.

A fake model takes almost no memory, on a machine without a GPU too. Its modules, adapters, fused layers and
checkpointing are those that training would run; only tensors have no data, and kernels that need a GPU are replaced by
fakes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from transformers import AutoModelForCausalLM, AutoModelForImageTextToText

from tunesmith import kernels
from tunesmith.config.head import Head
from tunesmith.forecast import fake_kernels
from tunesmith.kernels.attention import packed
from tunesmith.kernels.fusion.patch import apply_fused_layers
from tunesmith.kernels.modules import adapted_layer, is_adapter, own_name
from tunesmith.methods import Method
from tunesmith.model.activation_offload import storing_with
from tunesmith.model.families import Family
from tunesmith.model.families._vision_tower import forget_layouts
from tunesmith.model.heads import ClassHead, hidden_width
from tunesmith.model.loaded import LoadedModel
from tunesmith.model.trainable import Trainable, make_trainable
from tunesmith.precision.formats import precision_of
from tunesmith.precision.kernel_backend import shapes_only
from tunesmith.precision.quantize import without_ends

CPU = torch.device("cpu")
MAX_CONSTANT = 2**16
"""Entries of the largest tensor that keeps its values."""


class ConstantsMode(FakeTensorMode):
    """Tensors without data, but for small ones that were made of numbers.

    The code that is run asks for lengths of windows and ends of segments as numbers. PyTorch's own mode keeps the value
    of a single number only.
    """

    def may_turn_const(self, t: Tensor) -> bool:
        """Whether the tensor keeps its values."""
        is_plain = t.layout == torch.strided and t.device.type != "meta" and not self.is_our_fake(t)
        return is_plain and t.numel() <= MAX_CONSTANT


@dataclass(frozen=True)
class Machine:
    """Which kernels run a model on a device that need not be here."""

    attention: str = "varlen"
    kernels: str = "fused"

    @staticmethod
    def for_device(device: torch.device, compute: torch.dtype) -> Machine:
        """What `auto` resolves to on this device."""
        return Machine(packed.choose("auto", device, compute)[0], kernels.choose("auto", device, compute)[0])


GPU = Machine()


@dataclass(frozen=True, eq=False)
class FakeModel:
    """A trainable model whose tensors have shapes and dtypes but no data."""

    trainable: Trainable
    mode: FakeTensorMode
    weights: Mapping[str, int]
    """Bytes of each part's weights, adapters included."""

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
        """All tensors that exist before training begins."""
        return [
            tensor for module in self.loaded.modules for tensor in _own_tensors(module) if tensor is not None
        ]

    @contextmanager
    def active(self) -> Iterator[None]:
        """Within it, operations compute shapes only; the state of the random generator is restored afterwards."""
        with ExitStack() as stack:
            stack.enter_context(torch.random.fork_rng(devices=[]))
            stack.callback(forget_layouts)
            forget_layouts()
            stack.enter_context(storing_with(fake_kernels.FakeHostCopy))
            stack.enter_context(shapes_only())
            stack.enter_context(self.mode)
            yield


def build_fake_model(
    family: Family,
    precisions: Mapping[str, str],
    methods: Mapping[str, Method],
    machine: Machine = GPU,
    head: tuple[Head, tuple[str, ...]] | None = None,
) -> FakeModel:
    """The model that `model.load` and `model.trainable` would return, without data.

    `precisions` are those of weights by part; `head` is its settings and labels. Raises ModelError as those two do.
    """
    compute = precision_of(precisions["language"]).compute_dtype
    auto: Any = AutoModelForImageTextToText if family.has_vision else AutoModelForCausalLM
    # The family's own config is also that of a model that may be loaded.
    config = deepcopy(family.config)
    vars(config).pop("quantization_config", None)
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        model = auto.from_config(config, dtype=compute)
        new_head = ClassHead(*head, hidden_width(family.config)) if head else None
    on_gpu = machine.attention in ("varlen", "flash_attention_2")
    packed.use(model, machine.attention)
    if on_gpu:
        model.set_attn_implementation(fake_kernels.ATTENTION)
        fake_kernels.autocast_layer_norms(model)
    if machine.kernels != "none":
        fake_kernels.replace_layers(model, family)
    family.post_load(model)
    for kind, names in _names_by_precision(model, family, precisions).items():
        fake_kernels.quantize(model, precision_of(kind), names)
    model.requires_grad_(False)
    fused = machine.kernels if compute == torch.bfloat16 else "none"
    loaded = LoadedModel(model, family, CPU, compute, machine.attention, kernels=fused, head=new_head)
    # The random initial values of adapters are on the meta device.
    trainable = make_trainable(loaded, methods, seed=0)
    mode = ConstantsMode(allow_non_fake_inputs=True)
    with mode:
        trainable = _without_data(trainable)
        if fused == "fused":  # Again, since `make_trainable` fused the weights that were replaced now.
            apply_fused_layers(trainable.loaded.model, family, compute)
    trainable.loaded.train()
    return FakeModel(trainable, mode, _bytes_by_part(trainable))


def _names_by_precision(
    model: nn.Module, family: Family, precisions: Mapping[str, str]
) -> dict[str, set[str]]:
    """Full names of the linear layers with quantized weights, by precision. The output layer is never one of them."""
    names_of: dict[str, set[str]] = {}
    for part, modules in family.parts(model).items():
        precision = precision_of(precisions[part])
        if not precision.is_quantized:
            continue
        names = {name for name, module in modules.items() if isinstance(module, nn.Linear)} - {"lm_head"}
        inner = names if precision.at_ends is None else set(without_ends(names))
        names_of.setdefault(precision.kind, set()).update(inner)
        if precision.at_ends is not None and precision_of(precision.at_ends).is_quantized:
            names_of.setdefault(precision.at_ends, set()).update(names - inner)
    return names_of


def _without_data(trainable: Trainable) -> Trainable:
    """The same with fake tensors on the CPU; tied weights stay tied."""
    fakes: dict[int, nn.Parameter] = {}

    def fake(weight: nn.Parameter) -> nn.Parameter:
        if id(weight) not in fakes:
            empty = torch.empty(weight.shape, dtype=weight.dtype)
            fakes[id(weight)] = nn.Parameter(empty, requires_grad=weight.requires_grad)
        return fakes[id(weight)]

    for module in trainable.loaded.modules:
        for name, weight in module._parameters.items():
            module._parameters[name] = None if weight is None else fake(weight)
        for name, buffer in module._buffers.items():
            module._buffers[name] = None if buffer is None else torch.empty(buffer.shape, dtype=buffer.dtype)
    groups = tuple(
        replace(group, parameters={name: fakes[id(weight)] for name, weight in group.parameters.items()})
        for group in trainable.groups
    )
    return replace(trainable, groups=groups)


def _bytes_by_part(trainable: Trainable) -> dict[str, int]:
    loaded = trainable.loaded
    parts = loaded.family.parts(loaded.model)
    part_of = {name: part for part, modules in parts.items() for name in modules}
    num_bytes = dict.fromkeys(parts, 0)
    for name, weight in loaded.model.named_parameters():
        module = adapted_layer(name) if is_adapter(name) else own_name(name).rpartition(".")[0]
        num_bytes[part_of[module]] += weight.nbytes
    if loaded.head is not None:
        num_bytes["head"] = sum(weight.nbytes for weight in loaded.head.parameters())
    return num_bytes


def _own_tensors(module: nn.Module) -> Iterator[Tensor | None]:
    yield from module._parameters.values()
    yield from module._buffers.values()
