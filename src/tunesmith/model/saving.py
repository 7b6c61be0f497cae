"""What a stage leaves: adapters in PEFT's own form, models in transformers', and both merged."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from tunesmith.errors import ModelError, counted
from tunesmith.files import read_json, whole_folder, write_json
from tunesmith.kernels.modules import is_adapter, own_name, transformers_model
from tunesmith.model.base_fingerprint import checksum
from tunesmith.model.heads import save_head
from tunesmith.model.loaded import LoadedModel
from tunesmith.model.trainable import Trainable
from tunesmith.precision.quantize import is_quantised
from tunesmith.precision.stochastic_rounding import stochastic_round

CHANGED = "changed.safetensors"


def save_result(trainable: Trainable, folder: Path) -> None:
    """Write what a stage trained: an adapter, changed weights, a head.

    - `folder/adapter`: the adapter in PEFT's form, if there is one.
    - `folder/model`: a complete transformers folder, if most of the model's own weights changed.
    - `folder/weights`: the changed weights alone, to be put over the base, if fewer did.
    - `folder/head.safetensors`, `folder/head.json`: the classification head, in fp32.

    The model's own weights are saved in the dtype of the products, rounded as training rounds them. Each item is
    complete or missing; ModelError if the disk is full.
    """
    loaded = trainable.loaded
    has_adapter = any(is_adapter(name) for name in trained_state(trainable))
    is_whole = _is_mostly_changed(loaded)
    if is_whole:
        save_model(loaded, folder / "model")
    elif loaded.changed:
        _save_changed(loaded, folder / "weights")
    if has_adapter:
        _save_adapter(loaded, folder / "adapter", (folder / "model").resolve() if is_whole else None)
    if loaded.head is not None:
        inner = transformers_model(loaded.model)
        save_head(loaded.head, inner.config, str(inner.name_or_path), folder)


def _is_mostly_changed(loaded: LoadedModel) -> bool:
    """Whether a complete model is saved rather than the changed weights alone.

    It is if most weights changed, or if an earlier stage left a complete model; never with quantised weights.
    """
    if not loaded.changed or is_quantised(loaded.model):
        return False
    if is_of_a_stage(Path(str(transformers_model(loaded.model).name_or_path))):
        return True
    sizes = {
        own_name(name): weight.numel()
        for name, weight in loaded.model.named_parameters()
        if not is_adapter(name)
    }
    return 2 * sum(sizes.get(name, 0) for name in loaded.changed) >= sum(sizes.values())


def is_of_a_stage(model: Path) -> bool:
    """Whether the model in this folder was left by a stage."""
    return model.name == "model" and model.parent.parent.name == "stages"


def _save_changed(loaded: LoadedModel, folder: Path) -> None:
    state = {name: tensor for name, tensor in _own_state(loaded).items() if name in loaded.changed}
    try:
        with whole_folder(folder) as temporary:
            save_file(state, temporary / CHANGED)
    except (OSError, SafetensorError) as error:
        raise ModelError(
            f"{folder}: the weights cannot be written ({error}). Make room, or change `output`"
        ) from error


def put_changed(model: nn.Module, folder: Path) -> frozenset[str]:
    """Put the weights of a `weights` folder over a model's own; gives their full names. ModelError if they are
    not of this model, or damaged."""
    try:
        state = load_file(folder / CHANGED)
        own = dict(model.named_parameters()).keys()
        if any(is_quantised(model.get_submodule(name.rpartition(".")[0])) for name in state.keys() & own):
            raise KeyError(
                "they were trained, so model.weights cannot quantise them; use bf16 for their part"
            )
        unknown = state.keys() - own
        if unknown:
            raise KeyError(f"the model has no {sorted(unknown)[0]}")
        model.load_state_dict(state, strict=False)
    except (OSError, KeyError, RuntimeError, SafetensorError) as error:
        raise ModelError(
            f"{folder}: these weights do not fit the model, or are damaged ({str(error).splitlines()[0]})"
        ) from error
    return frozenset(state)


def save_model(loaded: LoadedModel, folder: Path, check: Callable[[Path], None] | None = None) -> None:
    """Write the model's own weights (without an adapter), config and tokenizer as a complete transformers
    folder. `check` is given what was written before it takes its name; if it raises, nothing is left."""
    inner = transformers_model(loaded.model)
    stated = inner.config.dtype
    try:
        with whole_folder(folder) as temporary:
            inner.save_pretrained(temporary, state_dict=_own_state(loaded))
            # transformers states the precision that the model has now, not that of what it was given.
            inner.config.dtype = loaded.compute
            inner.config.save_pretrained(temporary)
            loaded.family.save(temporary)
            if check is not None:
                check(temporary)
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
            copies[place] = _as_computed(tensor, loaded.compute).cpu().contiguous()
        state[own_name(name)] = copies[place]
    return state


def checksums(loaded: LoadedModel) -> dict[str, int]:
    """A number by full name for each of the model's own weights, as `save_model` writes it. Weights with equal values
    have equal numbers."""
    return {
        own_name(name): checksum(_as_computed(tensor, loaded.compute))
        for name, tensor in loaded.model.state_dict().items()
        if not is_adapter(name)
    }


def _as_computed(tensor: Tensor, compute: torch.dtype) -> Tensor:
    """In the precision of the products; trained matrices as they were multiplied with while they were trained."""
    if tensor.dtype == torch.float32 and tensor.ndim > 1:
        return stochastic_round(tensor.flatten(1), compute).view_as(tensor)
    return tensor.to(compute) if tensor.is_floating_point() else tensor


def trained_state(trainable: Trainable) -> dict[str, Tensor]:
    """The trained weights by full name: the tensors themselves, fp32."""
    return {name: weight.detach() for group in trainable.groups for name, weight in group.parameters.items()}


def load_trained_state(trainable: Trainable, state: Mapping[str, Tensor]) -> None:
    """Put trained weights back; KeyError or ValueError if they are not of this model."""
    own = trained_state(trainable)
    if own.keys() != state.keys():
        odd = sorted(own.keys() ^ state.keys())
        raise KeyError(f"{counted(len(odd), 'weight is', 'weights are')} on one side only, such as {odd[0]}")
    for name, weight in own.items():
        if weight.shape != state[name].shape:
            raise ValueError(f"{name} has shape {tuple(state[name].shape)}, not {tuple(weight.shape)}")
        weight.copy_(state[name])


def _save_adapter(loaded: LoadedModel, folder: Path, base: Path | None) -> None:
    """Write PEFT's folder, with the tokenizer and its chat template; `base` is the model that it belongs on, None for
    the one that was loaded."""
    model = loaded.model
    wrapped: Any = model
    config = wrapped.peft_config["default"]
    config.base_model_name_or_path = str(base or transformers_model(model).name_or_path)
    try:
        with whole_folder(folder) as temporary:
            wrapped.save_pretrained(str(temporary), save_embedding_layers=False)
            _sort_targets(temporary / "adapter_config.json")
            loaded.family.save(temporary)
    except OSError as error:
        raise ModelError(
            f"{folder}: the adapter cannot be written ({error}). Make room, or change `output`"
        ) from error


def _sort_targets(config: Path) -> None:
    """PEFT lists the layers in the order of a set, which is another in every process."""
    stated = read_json(config)
    if isinstance(stated["target_modules"], list):
        write_json(config, {**stated, "target_modules": sorted(stated["target_modules"])})
