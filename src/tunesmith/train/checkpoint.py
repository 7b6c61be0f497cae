"""What an interrupted stage needs to go on bit for bit: trained weights, optimizer, place in the data, random states.

A checkpoint is a folder of safetensors and JSON; nothing in it is pickled. Schedule and data position follow from the
number of the update.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from tunesmith.errors import DataError
from tunesmith.files import SUMS, damage, read_json, whole_folder, write_json, write_sums
from tunesmith.model.saving import load_trained_state, trained_state
from tunesmith.model.trainable import Trainable

_ADVICE = (
    "Delete the folder; training then continues from the checkpoint before it, or from the start of the stage"
)


@dataclass(frozen=True)
class Progress:
    """How far a stage has come."""

    step: int = 0
    best_step: int | None = None
    best_value: float | None = None
    evaluations_since_best: int = 0
    seconds: float = 0.0
    """Training time so far, over all interruptions."""


def save_checkpoint(
    folder: Path, trainable: Trainable, optimizer: torch.optim.Optimizer, progress: Progress
) -> Path:
    """Write `folder/step-<n>`, whole or not at all, and give its path."""
    path = folder / f"step-{progress.step}"
    tensors, scalars = _optimizer_state(optimizer)
    with whole_folder(path) as temporary:
        save_file(_storable(trained_state(trainable)), temporary / "weights.safetensors")
        save_file(_storable(tensors), temporary / "optimizer.safetensors")
        save_file(_random_tensors(), temporary / "random.safetensors")
        state = {"progress": asdict(progress), "optimizer": scalars, "random": _random_scalars()}
        write_json(temporary / "state.json", state)
        write_sums(temporary)
    return path


def set_damaged_aside(folder: Path) -> tuple[str, ...]:
    """What is wrong with the newest checkpoints of which a file is not as it was written, so that the newest that is
    left is whole, and so is the best that it speaks of; each is renamed to `damaged-step-<n>`."""
    faults: list[str] = []
    while (newest := latest_checkpoint(folder)) is not None:
        fault = _damage(newest) or _damage_of_best(newest)
        if fault is None:
            break
        faults.append(fault)
        aside = newest.with_name(f"damaged-{newest.name}")
        shutil.rmtree(aside, ignore_errors=True)
        newest.rename(aside)
    return tuple(faults)


def _damage(checkpoint: Path) -> str | None:
    """Which file of a checkpoint is not as it was written; of one without hashes only a state that cannot be read."""
    try:
        _progress(read_json(checkpoint / "state.json"))
    except (OSError, ValueError, KeyError, TypeError) as error:
        return f"{checkpoint / 'state.json'}: cannot be read ({error})"
    return damage(checkpoint)


def _damage_of_best(checkpoint: Path) -> str | None:
    """Why the best checkpoint up to this one, whose weights the stage may leave, cannot be had."""
    best = _progress(read_json(checkpoint / "state.json")).best_step
    place = checkpoint.with_name(f"step-{best}")
    if best is None or place == checkpoint:
        return None
    return (
        damage(place) if place.is_dir() else f"{place}: is not there, but is the best up to {checkpoint.name}"
    )


def _progress(state: Any) -> Progress:
    return Progress(**state["progress"])


def latest_checkpoint(folder: Path) -> Path | None:
    """The checkpoint with the highest step, or None."""
    steps = [path for path in folder.glob("step-*") if (path / "state.json").is_file()]
    return max(steps, key=step_of, default=None)


def step_of(checkpoint: Path) -> int:
    """The update that a checkpoint was written after."""
    return int(checkpoint.name.removeprefix("step-"))


def restore_checkpoint(path: Path, trainable: Trainable, optimizer: torch.optim.Optimizer) -> Progress:
    """Put weights, optimizer and random states back as they were; DataError if they cannot be read, or are of another
    model. That they are as they were written is seen to by `set_damaged_aside`."""
    try:
        state = read_json(path / "state.json")
        load_trained_state(trainable, load_file(path / "weights.safetensors"))
        tensors = load_file(path / "optimizer.safetensors", device=str(trainable.loaded.device))
        _restore_optimizer(optimizer, tensors, state["optimizer"])
        _restore_random(load_file(path / "random.safetensors"), state["random"])
        return _progress(state)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise DataError(f"{path}: this checkpoint cannot be read ({error}). {_ADVICE}") from error


def restore_weights(path: Path, trainable: Trainable) -> None:
    """Put back only the trained weights of a checkpoint; DataError if they are not as they were written."""
    fault = damage(path, ["weights.safetensors"]) if (path / SUMS).exists() else None
    if fault is not None:
        raise DataError(f"{fault}. {_ADVICE}")
    load_trained_state(trainable, load_file(path / "weights.safetensors"))


def discard_checkpoints(folder: Path, keep: int, best_step: int | None) -> None:
    """Delete all but the last `keep` and the best."""
    paths = sorted(folder.glob("step-*"), key=step_of)
    for path in paths[:-keep]:
        if path.name != f"step-{best_step}":
            shutil.rmtree(path)


def _storable(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in tensors.items()}


def _optimizer_state(optimizer: torch.optim.Optimizer) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The state of every weight, flat: tensors, and all else."""
    flat = _flat(optimizer.state_dict()["state"])
    tensors = {name: value for name, value in flat.items() if isinstance(value, Tensor)}
    return tensors, {name: value for name, value in flat.items() if name not in tensors}


def _flat(nested: Mapping[Any, Any], prefix: str = "") -> dict[str, Any]:
    """Values by their keys joined with a slash; bitsandbytes keeps its 8-bit states one level deeper."""
    flat: dict[str, Any] = {}
    for key, value in nested.items():
        flat |= _flat(value, f"{prefix}{key}/") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


def _restore_optimizer(
    optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor], scalars: Mapping[str, Any]
) -> None:
    states: dict[int, dict[str, Any]] = {}
    for name, value in {**tensors, **scalars}.items():
        index, *inner, last = name.split("/")
        place = states.setdefault(int(index), {})
        for key in inner:
            place = place.setdefault(key, {})
        place[last] = value
    optimizer.load_state_dict({"state": states, "param_groups": optimizer.state_dict()["param_groups"]})


def _random_tensors() -> dict[str, Tensor]:
    states = {"torch": torch.get_rng_state()}
    if torch.cuda.is_available():
        states |= {f"cuda.{index}": state for index, state in enumerate(torch.cuda.get_rng_state_all())}
    return states


def _random_scalars() -> dict[str, Any]:
    version, internal, gauss = random.getstate()
    name, keys, position, has_gauss, cached = np.random.get_state()
    return {
        "python": [version, list(internal), gauss],
        "numpy": [str(name), np.asarray(keys).tolist(), int(position), int(has_gauss), float(cached)],
    }


def _restore_random(tensors: Mapping[str, Tensor], scalars: Mapping[str, Any]) -> None:
    torch.set_rng_state(tensors["torch"])
    cuda = [tensors[f"cuda.{index}"] for index in range(len(tensors) - 1)]
    if cuda and torch.cuda.device_count() == len(cuda):
        torch.cuda.set_rng_state_all(cuda)
    version, internal, gauss = scalars["python"]
    random.setstate((version, tuple(internal), gauss))
    name, keys, position, has_gauss, cached = scalars["numpy"]
    np.random.set_state((name, np.array(keys, dtype=np.uint32), position, has_gauss, cached))
