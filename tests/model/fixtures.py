"""Loaded tiny models for tests of this room."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from tests.tiny import tiny_model
from tunesmith.batching.collator import collate
from tunesmith.config.experiment import Model
from tunesmith.model.load import load
from tunesmith.model.loaded import LoadedModel
from tunesmith.model.trainable import Trainable
from tunesmith.records.conversation import Conversation, Turn

PAIRS = {"What is up?": "The sky.", "And down?": "The sea, mostly.", "Name one": '{"category": "World"}'}
CONVERSATIONS = [
    Conversation(f"p:{number}", (Turn.of("user", asked),), answer)
    for number, (asked, answer) in enumerate(PAIRS.items(), start=1)
]


def tiny(folder: Path, model_type: str = "qwen2", **settings: object) -> LoadedModel:
    """A tiny model, loaded in fp32 unless the settings say otherwise."""
    place = tiny_model(folder / f"base-{model_type}", model_type)
    return load(Model.model_validate({"path": str(place), "weights": "fp32", **settings}))


def logits(loaded: LoadedModel) -> Tensor:
    """What the model makes of the conversations, in eval mode."""
    batch = collate([loaded.family.render(conversation) for conversation in CONVERSATIONS])
    loaded.model.eval()
    with torch.no_grad(), loaded.precision():
        return loaded.logits(batch).float()


def train(trainable: Trainable, steps: int = 3, rate: float = 1e-2) -> list[float]:
    """Losses of a few updates on the conversations."""
    loaded = trainable.loaded
    batch = collate([loaded.family.render(conversation) for conversation in CONVERSATIONS])
    weights = [weight for group in trainable.groups for weight in group.parameters.values()]
    optimizer = torch.optim.AdamW(weights, lr=rate)
    loaded.model.train()
    losses = []
    for _ in range(steps):
        with loaded.precision():
            loss = functional.cross_entropy(loaded.logits(batch).float(), batch.targets)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    return losses
