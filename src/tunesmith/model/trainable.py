"""Which weights are trained: the methods of a stage, carried out on the model's parts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import nn

from tunesmith.config.experiment import HEAD
from tunesmith.errors import ModelError, did_you_mean
from tunesmith.kernels.fusion.patch import apply_fused_layers, apply_fused_linears
from tunesmith.kernels.modules import adapted_layer, is_adapter, own_name
from tunesmith.methods import Method
from tunesmith.methods.frozen import Frozen
from tunesmith.model.adapters import has_adapter, put_on, refuse_other_shape
from tunesmith.model.loaded import LoadedModel
from tunesmith.model.merging import merge
from tunesmith.precision.quantize import has_scales, is_quantised, num_weights
from tunesmith.runs.stage import TrainedPart

if TYPE_CHECKING:
    from peft import LoraConfig

Parts = dict[str, dict[str, nn.Module]]


@dataclass(frozen=True)
class Group:
    """The trained weights of one part."""

    part: str
    kind: str
    """The method's."""
    learning_rate: float | None
    """The part's own peak learning rate, or None for the optimizer's."""
    parameters: dict[str, nn.Parameter]
    """By full name, without an adapter's wrapping; in fp32."""


@dataclass(frozen=True, eq=False)
class Trainable:
    """A model of which exactly the weights in `groups` are trained."""

    loaded: LoadedModel
    groups: tuple[Group, ...]
    summary: tuple[TrainedPart, ...]
    """How much of each part is trained."""


def make_trainable(loaded: LoadedModel, methods: Mapping[str, Method], seed: int) -> Trainable:
    """The model with its parts trained by these methods; parts without one are frozen.

    Adapters begin the same for the same seed. An earlier stage's adapter is gone on with, or merged into the
    weights if a method asks for a new one or trains the weights themselves. Raises ModelError for a part that
    the model does not have, a target that matches nothing, and what cannot be trained as asked.
    """
    parts = loaded.family.parts(loaded.model) | _head_part(loaded)
    _refuse_unknown_parts(methods, parts)
    if HEAD in parts and methods.get(HEAD, Frozen()).adds_adapter:
        raise ModelError(
            f"stages.parts.{HEAD}: {methods[HEAD].kind} adapts weights, but a head begins anew. Use full"
        )
    configs = _adapter_configs(methods, parts)
    own = {part: method.weights(parts[part]) for part, method in methods.items()}
    _refuse_quantised(own, parts)
    _refuse_dora_on_scales(configs, parts)
    loaded = replace(loaded, notes=(*loaded.notes, *_left_out(methods, parts)))
    has_earlier = has_adapter(loaded.model)
    goes_on = has_earlier and bool(configs) and _goes_on(methods, configs)
    if goes_on:
        refuse_other_shape(loaded.model, configs)  # type: ignore[arg-type]
    else:
        loaded = _merged(loaded) if has_earlier else loaded
        model = put_on(loaded.model, configs, seed) if configs else loaded.model
        loaded = replace(loaded, model=model)
    # Biases beside an adapter are in PEFT's own file.
    moved = {name for part, names in own.items() if part not in configs and part != HEAD for name in names}
    loaded = replace(loaded, changed=loaded.changed | moved)
    groups = _open(loaded, methods, configs, own)
    if not any(group.parameters for group in groups):
        said = ", ".join(f"{part}: {method.kind}" for part, method in methods.items())
        raise ModelError(f"stages.parts: nothing is trained ({said}). Use lora or full for a part")
    summary = tuple(_summary(part, modules, methods, groups) for part, modules in parts.items())
    if loaded.kernels == "fused":
        # A vision-language model may add to the residual stream between two layers.
        cuda_graphs = loaded.cuda_graphs and not loaded.family.has_vision
        num_fused = apply_fused_layers(loaded.model, loaded.family, loaded.compute, cuda_graphs)
        loaded = replace(loaded, notes=(*loaded.notes, f"kernels: {num_fused} fused layers"))
    elif loaded.compute != torch.float32:
        apply_fused_linears(loaded.model, loaded.compute)
    return Trainable(loaded, groups, summary)


def _refuse_unknown_parts(methods: Mapping[str, Method], parts: Parts) -> None:
    unknown = [part for part in methods if part not in parts]
    if unknown:
        raise ModelError(
            "\n".join(
                f"stages.parts.{part}: the model has no such part "
                f"({', '.join(parts)}).{did_you_mean(part, parts)}"
                for part in unknown
            )
        )


def _adapter_configs(methods: Mapping[str, Method], parts: Parts) -> dict[str, LoraConfig]:
    configs = {}
    for part, method in methods.items():
        try:
            config = method.adapter(parts[part])
        except ModelError as error:
            raise ModelError(f"stages.parts.{part}.{error}") from error
        if config is not None:
            configs[part] = config
    return configs


def _refuse_quantised(own: Mapping[str, list[str]], parts: Parts) -> None:
    for part, names in own.items():
        modules = {name.rpartition(".")[0] for name in names}
        if any(is_quantised(parts[part][module]) for module in modules):
            raise ModelError(
                f"stages.parts.{part}: quantised weights and their biases cannot be trained. Use kind: lora "
                "with bias: none, or model.weights: bf16"
            )


def _refuse_dora_on_scales(configs: Mapping[str, LoraConfig], parts: Parts) -> None:
    for part, config in configs.items():
        if config.use_dora and any(has_scales(parts[part][name]) for name in config.target_modules or ()):
            raise ModelError(
                f"stages.parts.{part}.dora: magnitudes of int8 and fp8 weights would be taken without their "
                "scales. Use dora: false, or model.weights: nf4"
            )


def _merged(loaded: LoadedModel) -> LoadedModel:
    if is_quantised(loaded.model):
        raise ModelError(
            "stages.parts: the earlier stage's adapter would have to be merged into quantised weights, which "
            "would change what the model answers. Use start: continue, or model.weights: bf16"
        )
    into = {
        layer
        for name, _ in loaded.model.named_parameters()
        if is_adapter(name)
        for layer in [adapted_layer(name)]
    }
    names = (own_name(name) for name, _ in loaded.model.named_parameters() if not is_adapter(name))
    moved = {name for name in names if name.rpartition(".")[0] in into or name.endswith(".bias")}
    return replace(merge(loaded), changed=loaded.changed | moved)


def _left_out(methods: Mapping[str, Method], parts: Parts) -> Iterator[str]:
    """How many weights each method leaves untrained though its settings ask for them, for the log and the page."""
    for part, method in methods.items():
        names = method.left_out(parts[part])
        if not names:
            continue
        weights = {
            name: parts[part][name.rpartition(".")[0]].get_parameter(name.rpartition(".")[2])
            for name in names
        }
        number = sum(map(num_weights, weights.values()))
        own = {
            id(weight): weight
            for module in parts[part].values()
            for weight in module.parameters(recurse=False)
        }
        total = sum(map(num_weights, own.values()))
        kinds = sorted({name.rpartition(".")[2] for name in names})
        yield (
            f"{part}: {method.kind} leaves out {number:,} of {total:,} weights ({number / total:.0%}): the experts "
            f"({', '.join(kinds)}) cannot have adapters and stay as they are"
        )


def _goes_on(methods: Mapping[str, Method], configs: Mapping[str, LoraConfig]) -> bool:
    """Whether the earlier adapter is gone on with; ModelError if parts differ in that."""
    starts = {part: methods[part].model_dump()["start"] for part in configs}
    if len(set(starts.values())) > 1:
        said = ", ".join(f"{part} says {start}" for part, start in starts.items())
        raise ModelError(f"stages.parts: the parts share one adapter, but {said} for `start`. Let them agree")
    return set(starts.values()) == {"continue"}


def _head_part(loaded: LoadedModel) -> Parts:
    """The head as a part, if there is one; its modules are named as no module of a transformers model is."""
    if loaded.head is None:
        return {}
    return {HEAD: {f"{HEAD}.{name}": module for name, module in loaded.head.named_modules() if name}}


def _open(
    loaded: LoadedModel,
    methods: Mapping[str, Method],
    configs: Mapping[str, LoraConfig],
    own: Mapping[str, list[str]],
) -> tuple[Group, ...]:
    """Let gradients reach the trained weights, in fp32, and no others."""
    weights = dict(loaded.model.named_parameters())
    if loaded.head is not None:
        weights |= {f"{HEAD}.{name}": weight for name, weight in loaded.head.named_parameters()}
    for weight in weights.values():
        weight.requires_grad_(False)
    groups = []
    for part, method in methods.items():
        adapted = set(configs[part].target_modules or ()) if part in configs else set()
        named = set(own[part])
        chosen = {
            own_name(name): weight
            for name, weight in weights.items()
            if (adapted_layer(name) in adapted if is_adapter(name) else own_name(name) in named)
        }
        for weight in chosen.values():
            weight.data = weight.data.float()
            weight.requires_grad_(True)
        groups.append(Group(part, method.kind, method.learning_rate, chosen))
    return tuple(groups)


def _summary(
    part: str, modules: dict[str, nn.Module], methods: Mapping[str, Method], groups: Sequence[Group]
) -> TrainedPart:
    own = {id(weight): weight for module in modules.values() for weight in module.parameters(recurse=False)}
    trained = [weight for group in groups if group.part == part for weight in group.parameters.values()]
    added = [weight for weight in trained if id(weight) not in own]
    num_trained = sum(weight.numel() for weight in trained)
    total = sum(map(num_weights, own.values())) + sum(weight.numel() for weight in added)
    return TrainedPart(
        part=part,
        method=methods[part].kind if part in methods else "frozen",
        trained=num_trained,
        total=total,
        share=num_trained / total if total else 0.0,
        bytes=sum(weight.nbytes for weight in trained),
    )
