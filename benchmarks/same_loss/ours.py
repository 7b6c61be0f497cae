"""The product's own loader and loop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from benchmarks.same_loss.material import Material
from benchmarks.same_loss.settings import (
    ALPHA,
    CLIP,
    DECAY,
    EXAMPLES,
    HIDDEN,
    RANK,
    SCHEDULE,
    SEED,
    WARMUP,
    Job,
    Setting,
)

from tunesmith.batching.collator import collate, to_device
from tunesmith.batching.example import Example
from tunesmith.config.experiment import Loss as LossSettings
from tunesmith.config.experiment import Model, Optimizer
from tunesmith.config.head import Head
from tunesmith.methods import Method
from tunesmith.methods.full import Full
from tunesmith.methods.lora import Lora
from tunesmith.model.heads import hidden_width, new_head
from tunesmith.model.load import load
from tunesmith.model.loaded import LoadedModel
from tunesmith.model.trainable import Trainable, make_trainable
from tunesmith.train.batch_plan import BatchPlan
from tunesmith.train.examples import Examples
from tunesmith.train.fit import fit
from tunesmith.train.loss import ClassLoss, Loss, answer_loss
from tunesmith.train.optimizer import build_optimizer


class InOrder(BatchPlan):
    """As the product does it, but for the shuffling."""

    def _order(self, epoch: int) -> np.ndarray:
        return np.arange(len(self.examples))


def run(job: Job) -> dict[str, Any]:
    """Losses of every update, and held-out losses before and after."""
    assert isinstance(job.what, Setting)
    material = Material.read(job.material, job.what.material)
    trainable = built(job, material.num_classes)
    loaded = trainable.loaded
    begins_alike = _begin(trainable, job)
    optimizer_settings = Optimizer(
        learning_rate=job.rate, weight_decay=DECAY, schedule=SCHEDULE, warmup=WARMUP, max_grad_norm=CLIP
    )
    optimizer = build_optimizer(trainable.groups, optimizer_settings)
    loss = ClassLoss(LossSettings()) if loaded.head is not None else answer_loss
    before = held_out(loaded, loss, material.held_out)
    examples = Examples(material.trained)
    room = job.what.tokens_per_device
    updates = InOrder("train", examples, EXAMPLES, room, job.steps, SEED)
    started = fit(trainable, updates, optimizer, optimizer_settings, loss)
    losses = [underway.result().loss for underway in started]
    return {
        "losses": losses,
        "begins_alike": begins_alike,
        "before": before,
        "after": held_out(loaded, loss, material.held_out),
        "micro_batches": len(updates.members(0, room)),
        "notes": [*loaded.notes],
    }


def built(job: Job, num_classes: int, **changes: str) -> Trainable:
    """The model with what is trained; `changes` are of the model's settings."""
    assert isinstance(job.what, Setting)
    asked = {
        "path": str(job.model),
        "weights": job.what.weights,
        "kernels": job.what.kernels,
        "checkpointing": job.what.checkpointing,
    }
    loaded = load(Model.model_validate(asked | changes))
    if num_classes:
        labels = [f"class {number}" for number in range(num_classes)]
        width = hidden_width(loaded.family.config)
        # What is zeroed by chance cannot be the same in two engines.
        loaded.head = new_head(Head(hidden=HIDDEN, dropout=0), labels, width, SEED, loaded.device)
    lora = Lora(rank=RANK, alpha=ALPHA)
    parts: dict[str, dict[str, Method]] = {
        "lora": {"language": lora} | ({"vision": lora} if job.what.sees else {}),
        "full": {"language": Full()},
        "head": {"head": Full()},
        "lora+head": {"language": lora, "head": Full()},
    }
    return make_trainable(loaded, parts[job.what.method], SEED)


def write_start(job: Job) -> None:
    """Put what is trained beside the model, as it begins, into the job's file."""
    num_classes = Material.read(job.material, job.what.material).num_classes
    torch.save(_trained(built(job, num_classes, device="cpu")), job.start)


def _begin(trainable: Trainable, job: Job) -> bool:
    """Begin exactly where the reference does; True if it would have begun there, but for rounding, by itself."""
    if job.what.method == "full":
        return True
    start, own = torch.load(job.start), _trained(trainable)
    assert own.keys() == start.keys(), own.keys() ^ start.keys()
    alike = [torch.allclose(weight.cpu(), start[name], rtol=2**-8, atol=0) for name, weight in own.items()]
    with torch.no_grad():
        for name, weight in own.items():
            weight.copy_(start[name])
    return all(alike)


def _trained(trainable: Trainable) -> dict[str, torch.Tensor]:
    return {name: weight.data for group in trainable.groups for name, weight in group.parameters.items()}


@torch.no_grad()
def held_out(loaded: LoadedModel, loss: Loss, examples: Sequence[Example]) -> float:
    """Mean loss over what they train, or over the examples for a head."""
    loaded.train(False)
    sums, weights = 0.0, 0.0
    for begin in range(0, len(examples), EXAMPLES):
        batch = to_device(collate(examples[begin : begin + EXAMPLES]), loaded.device)
        sums += loss(loaded, batch).item()
        weights += loss.weight(batch)
    return sums / weights
