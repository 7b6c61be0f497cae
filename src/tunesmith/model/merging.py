"""An adapter put into the weights that it is on, and the proof that nothing else changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from tunesmith.errors import ModelError
from tunesmith.kernels.modules import adapted_layer, is_adapter, own_modules, own_name
from tunesmith.model.adapters import has_adapter, quietly
from tunesmith.model.base_fingerprint import checksum
from tunesmith.model.loaded import LoadedModel
from tunesmith.model.probing import probe, probe_layers
from tunesmith.precision.quantize import dequantised, is_quantised

Logits = Mapping[str, Tensor]
"""What `probe` gives."""


def merge(loaded: LoadedModel) -> LoadedModel:
    """The model with its adapter merged into its own weights, dequantised first if necessary.

    Raises ModelError if the merged model does not answer as base and adapter did, on text and on pictures, or if a
    weight that has no adapter changed.
    """
    before, untouched = probe(loaded), _without_adapter(loaded.model)
    layers = probe_layers(loaded, _adapted(loaded.model))
    merged = replace(loaded, model=_merged(loaded.model))
    merged.model.eval()
    after = _without_adapter(merged.model)
    refuse_other_weights({name: after.get(name, 0) for name in untouched}, untouched)
    _refuse_other_outputs(merged, layers)
    refuse_other_answers(merged, before)
    return merged


def refuse_other_answers(merged: LoadedModel, before: Logits) -> None:
    """Raise ModelError if the merged model's logits differ from `probe`'s by more than rounding."""
    allowed = 1e-3 if merged.compute == torch.float32 else 5e-2
    for kind, logits in probe(merged).items():
        difference = ((logits - before[kind]).norm() / before[kind].norm()).item()
        if not difference <= allowed:
            raise ModelError(
                f"the merged model answers differently from base and adapter on {kind} (logits are {difference:.1%} "
                f"apart, at most {allowed:.1%} is rounding). Nothing was written; use the adapter as it is"
            )


def _refuse_other_outputs(merged: LoadedModel, before: Logits) -> None:
    """Raise ModelError if a layer that had an adapter gives something else than with it. A layer alone is compared more
    closely than the whole model, whose logits may hardly depend on it."""
    allowed = 1e-4 if merged.compute == torch.float32 else 2e-2
    for name, output in probe_layers(merged, before).items():
        difference = ((output - before[name]).norm() / before[name].norm()).item()
        if not difference <= allowed:
            raise ModelError(
                f"{name} of the merged model gives something else than with its adapter ({difference:.2%} apart, at "
                f"most {allowed:.2%} is rounding). Nothing was written; use the adapter as it is"
            )


def refuse_other_weights(checksums: Mapping[str, int], expected: Mapping[str, int]) -> None:
    """Raise ModelError if checksums of weights by name are not the expected ones."""
    others = [name for name, number in expected.items() if checksums.get(name) != number]
    if others:
        raise ModelError(
            f"the merged model has other weights than it must have ({len(others)} of {len(expected)}, such as "
            f"{others[0]}). Nothing was written; use the adapter as it is"
        )


def _adapted(model: nn.Module) -> list[str]:
    """Full names of the linear layers with an adapter."""
    names, own = dict(model.named_modules()).keys(), own_modules(model)
    adapted = [own_name(name) for name in names if f"{name}.lora_A" in names]
    return [name for name in adapted if isinstance(own[name], nn.Linear)]


def _without_adapter(model: nn.Module) -> dict[str, int]:
    """Checksums by full name of the weights that merging must leave unchanged.

    These are the float weights of layers without an adapter.
    """
    modules = dict(model.named_modules())
    adapted = {adapted_layer(name) for name in modules if is_adapter(name)}
    checksums = {}
    for name, weight in model.named_parameters():
        layer = own_name(name).rpartition(".")[0]
        quantised = is_quantised(modules[name.rpartition(".")[0]])
        if not is_adapter(name) and layer not in adapted and not quantised:
            checksums[own_name(name)] = checksum(weight)
    return checksums


def _merged(model: nn.Module) -> nn.Module:
    from peft import get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict

    wrapped: Any = model
    if not has_adapter(model):
        return dequantised(wrapped) if is_quantised(model) else model
    if is_quantised(model):
        config, state = wrapped.peft_config["default"], get_peft_model_state_dict(wrapped)
        plain: Any = dequantised(wrapped.unload())
        with quietly():
            wrapped = get_peft_model(plain, config)
        set_peft_model_state_dict(wrapped, state)
    return wrapped.merge_and_unload(safe_merge=True)  # type: ignore[no-any-return]
