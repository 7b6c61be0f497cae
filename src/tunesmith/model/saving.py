"""What a stage leaves: adapters in PEFT's own form, models in transformers', and both merged."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from tunesmith.errors import ModelError
from tunesmith.files import whole_folder
from tunesmith.model.loaded import LoadedModel
from tunesmith.model.modules import is_adapter, own_name, transformers_model
from tunesmith.model.trainable import Trainable


def save_result(trainable: Trainable, folder: Path) -> None:
    """Write `folder/adapter` (PEFT's form) if the model has an adapter, and `folder/model` (a complete
    transformers folder, in the precision of the products) if its own weights are not the base's any more.
    Each is whole or not there; ModelError if there is no room."""
    loaded = trainable.loaded
    has_adapter = any(is_adapter(name) for name in trained_state(trainable))
    changed = trainable.merged_earlier or any(group.kind == "full" for group in trainable.groups)
    if changed:
        save_model(loaded, folder / "model")
    if has_adapter:
        _save_adapter(loaded.model, folder / "adapter", (folder / "model").resolve() if changed else None)


def save_model(loaded: LoadedModel, folder: Path) -> None:
    """Write the model's own weights (without an adapter), config and tokenizer as a complete transformers
    folder."""
    inner = transformers_model(loaded.model)
    stated = inner.config.dtype
    try:
        with whole_folder(folder) as temporary:
            inner.save_pretrained(temporary, state_dict=_own_state(loaded))
            # transformers states the precision that the model has now, not that of what it was given.
            inner.config.dtype = loaded.compute
            inner.config.save_pretrained(temporary)
            loaded.family.tokenizer.save_pretrained(temporary)
    except OSError as error:
        raise ModelError(
            f"{folder}: the model cannot be written ({error}). Make room, or change `output`"
        ) from error
    finally:
        inner.config.dtype = stated


def _own_state(loaded: LoadedModel) -> dict[str, Tensor]:
    """The model's own weights by full name, on the CPU in the precision of the products. A weight with two
    names (a tied output head) stays one tensor, so that it is written once."""
    copies: dict[tuple[int, int], Tensor] = {}
    state = {}
    for name, tensor in loaded.model.state_dict().items():
        if is_adapter(name):
            continue
        place = (tensor.data_ptr(), tensor.numel())
        if place not in copies:
            copies[place] = tensor.to("cpu", loaded.compute if tensor.is_floating_point() else tensor.dtype)
        state[own_name(name)] = copies[place]
    return state


def trained_state(trainable: Trainable) -> dict[str, Tensor]:
    """The trained weights by full name: the tensors themselves, fp32."""
    return {name: weight.detach() for group in trainable.groups for name, weight in group.parameters.items()}


def load_trained_state(trainable: Trainable, state: Mapping[str, Tensor]) -> None:
    """Put trained weights back; KeyError or ValueError if they are not of this model."""
    own = trained_state(trainable)
    if own.keys() != state.keys():
        odd = sorted(own.keys() ^ state.keys())
        raise KeyError(f"{len(odd)} weights are on one side only, such as {odd[0]}")
    for name, weight in own.items():
        if weight.shape != state[name].shape:
            raise ValueError(f"{name} has shape {tuple(state[name].shape)}, not {tuple(weight.shape)}")
        weight.copy_(state[name])


def _save_adapter(model: nn.Module, folder: Path, base: Path | None) -> None:
    """Write PEFT's folder; `base` is the model that it belongs on, None for the one that was loaded."""
    wrapped: Any = model
    config = wrapped.peft_config["default"]
    config.base_model_name_or_path = str(base or transformers_model(model).name_or_path)
    try:
        with whole_folder(folder) as temporary:
            wrapped.save_pretrained(str(temporary), save_embedding_layers=False)
    except OSError as error:
        raise ModelError(
            f"{folder}: the adapter cannot be written ({error}). Make room, or change `output`"
        ) from error
