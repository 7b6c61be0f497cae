"""Classification heads: from the final hidden states of a packed line of examples to a number for each class.

Nothing crosses from one example to another: each is pooled over its own tokens alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from tunesmith.batching.batch import Segments
from tunesmith.config.head import Head
from tunesmith.errors import ModelError
from tunesmith.files import read_json, write_json

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

WEIGHTS, STATED = "head.safetensors", "head.json"
_MOST_NAMED = 5


class ClassHead(nn.Module):
    """Pools each example's hidden states and puts linear layers on that, in fp32 weights."""

    def __init__(self, settings: Head, labels: Sequence[str], width: int) -> None:
        super().__init__()
        self.settings = settings
        self.labels = tuple(labels)
        self.width = width
        self.query = nn.Linear(width, 1, bias=False) if settings.pooling == "attention" else None
        widths = [width, *[settings.hidden] * (settings.layers - 1), len(self.labels)]
        self.layers = nn.ModuleList(nn.Linear(before, after) for before, after in pairwise(widths))

    def forward(
        self, hidden: Float[Tensor, "token width"], segments: Segments
    ) -> Float[Tensor, "segment label"]:
        """A number for each class of every segment, in fp32. Of a head with `multi` they are log odds of each class,
        else log probabilities but for a constant."""
        values = self.pooled(hidden, segments)
        # A few rows: in 16 bits they would save nothing, and what is rounded here is all that the loss sees.
        with torch.autocast(values.device.type, enabled=False):
            for number, layer in enumerate(self.layers):
                values = functional.gelu(values) if number else values
                values = layer(functional.dropout(values, self.settings.dropout, self.training))
        return values

    def pooled(
        self, hidden: Float[Tensor, "token width"], segments: Segments
    ) -> Float[Tensor, "segment width"]:
        """One vector for each segment, of its own tokens alone; in fp32 whatever the precision around it."""
        lengths = segments.lengths.to(hidden.device)
        if self.settings.pooling == "last":
            ends = segments.starts.to(hidden.device) + lengths - 1
            return hidden[ends.long()].float()
        with torch.autocast(hidden.device.type, enabled=False):
            states = hidden.float()
            starts = segments.starts.to(hidden.device)[:, None]
            tokens = torch.arange(len(states), device=hidden.device)
            inside = (tokens >= starts) & (tokens < starts + lengths[:, None])
            if self.query is None:
                weights = inside / lengths[:, None]
            else:
                scores = self.query(states).squeeze(-1).expand(len(lengths), -1)
                weights = scores.masked_fill(~inside, -torch.inf).softmax(-1)
            return weights @ states


def new_head(settings: Head, labels: Sequence[str], width: int, seed: int, device: torch.device) -> ClassHead:
    """An untrained head, the same for the same seed; frozen until it is made trainable."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        head = ClassHead(settings, labels, width)
    return head.requires_grad_(False).to(device).eval()


def hidden_width(config: PreTrainedConfig) -> int:
    """Width of the final hidden states of a model with this config."""
    return int(config.get_text_config().hidden_size)


def save_head(head: ClassHead, config: PreTrainedConfig, base: str, folder: Path) -> None:
    """Write `head.safetensors` and then `head.json` (labels in order, pooling, shapes, base model); ModelError if
    there is no room."""
    stated = {
        "labels": list(head.labels),
        **head.settings.model_dump(mode="json", include=set(Head.model_fields)),
        "width": head.width,
        "shapes": {name: list(weight.shape) for name, weight in head.state_dict().items()},
        "base_model": {"path": base, "model_type": config.model_type},
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        state = {name: weight.detach().cpu().contiguous() for name, weight in head.state_dict().items()}
        save_file(state, folder / WEIGHTS)
        write_json(folder / STATED, stated)
    except (OSError, SafetensorError) as error:
        raise ModelError(
            f"{folder / WEIGHTS}: the head cannot be written ({error}). Make room, or change `output`"
        ) from error


def load_head(folder: Path, config: PreTrainedConfig, device: torch.device) -> ClassHead | None:
    """The head that a stage left in its folder, frozen; None if it left none. ModelError if it is damaged or was
    trained on another kind of model."""
    if not (folder / STATED).is_file() and not (folder / WEIGHTS).is_file():
        return None
    try:
        stated = read_json(folder / STATED)
        settings = Head(**{name: stated[name] for name in Head.model_fields})
        labels, width, base = stated["labels"], int(stated["width"]), stated["base_model"]
        _refuse_other_base(folder / STATED, base, width, config)
        head = ClassHead(settings, labels, width)
        head.load_state_dict(load_file(folder / WEIGHTS))
    except (
        OSError,
        KeyError,
        TypeError,
        ValueError,
        ValidationError,
        RuntimeError,
        SafetensorError,
    ) as error:
        why = " ".join(str(error).split())
        raise ModelError(
            f"{folder / WEIGHTS}: this head cannot be read: weights and {STATED} do not belong together, or are "
            f"damaged ({why:.200}). Bring back both files of the stage, or train again"
        ) from error
    return head.requires_grad_(False).to(device).eval()


def refuse_lost_head(head: ClassHead | None, folder: Path) -> None:
    """Raise ModelError if a stage whose task has a head left none in its folder."""
    if head is None:
        raise ModelError(
            f"{folder / STATED}: is not there, but the task answers by a head. Bring back {STATED} and {WEIGHTS} of "
            "the stage, or train again"
        )


def _refuse_other_base(place: Path, base: dict[str, Any], width: int, config: PreTrainedConfig) -> None:
    now = hidden_width(config)
    if base["model_type"] != config.model_type or width != now:
        raise ModelError(
            f"{place}: the head was trained on {base['path']} ({base['model_type']}, hidden states of width {width}), "
            f"but the model is {config.model_type} with width {now}. Set model.path to the model it was trained on"
        )


def refuse_other_head(head: ClassHead, settings: Head, labels: Sequence[str]) -> None:
    """Raise ModelError unless the head is what a task asks for: these labels in this order, and these settings."""
    faults = []
    if head.labels != tuple(labels):
        faults.append(_other_labels(head.labels, tuple(labels)))
    for name in Head.model_fields:
        had, asked = vars(head.settings)[name], vars(settings)[name]
        # Dropout has no weights, so a later stage may have another one.
        if had != asked and name != "dropout":
            faults.append(f"task.answer.{name}: the head has {had}, the task asks for {asked}")
    if faults:
        raise ModelError(
            "\n".join(faults) + "\nGive the task what the head was trained with, or train a new one"
        )


def _other_labels(had: tuple[str, ...], asked: tuple[str, ...]) -> str:
    """What differs between the labels of a head and those of a task."""
    said = "task.labels: the head was trained for others"
    if set(had) == set(asked):
        place = next(
            place for place, (ours, theirs) in enumerate(zip(had, asked, strict=True)) if ours != theirs
        )
        return (
            f"{said}: they are in another order (at place {place + 1} the head has {had[place]!r}, the task "
            f"{asked[place]!r})"
        )
    unknown = [label for label in asked if label not in had][:_MOST_NAMED]
    lacking = [label for label in had if label not in asked][:_MOST_NAMED]
    differences = [
        f"{what} {', '.join(map(repr, names))}"
        for what, names in (("it does not know", unknown), ("the task lacks", lacking))
        if names
    ]
    return f"{said} ({len(had)}, the task has {len(asked)}): {'; '.join(differences)}"
