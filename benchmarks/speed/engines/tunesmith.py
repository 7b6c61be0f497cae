"""The product's own loader and loop, reading of picture files included."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import torch
from benchmarks.speed.clock import Clock
from benchmarks.speed.engines import Job
from benchmarks.speed.methods import CLASSES
from benchmarks.speed.weights import drawn
from benchmarks.speed.workloads import Sample, picture_file

from tunesmith.batching.example import Example
from tunesmith.config.experiment import Loss, Model, Optimizer
from tunesmith.config.head import Head
from tunesmith.images.picture import Picture
from tunesmith.methods.full import Full
from tunesmith.methods.lora import Lora
from tunesmith.model.checkpointing import checkpoint
from tunesmith.model.heads import hidden_width, new_head
from tunesmith.model.load import load
from tunesmith.model.trainable import make_trainable
from tunesmith.train.batch_plan import BatchPlan
from tunesmith.train.examples import Examples
from tunesmith.train.fit import fit
from tunesmith.train.loss import ClassLoss, answer_loss
from tunesmith.train.optimizer import build_optimizer
from tunesmith.train.pending_update import PendingUpdate


def run(job: Job, clock: Clock) -> None:
    """Train as `tunesmith train` would, without a run folder."""
    plain = "bf16" if torch.cuda.is_available() else "fp32"
    weights = plain if job.way.weights == "bf16" else job.way.weights
    side = {"pixels": {"size": [job.work.side, job.work.side]}} if job.work.sees else {}
    with drawn():
        loaded = load(
            Model.model_validate(
                {
                    "path": str(job.folder),
                    "weights": weights,
                    "checkpointing": job.settings.checkpointing,
                    **side,
                }
            )
        )
    rank, alpha = job.way.rank(job.work.sees)
    method: Any = Lora(rank=rank, alpha=alpha) if job.way.adapts else Full()
    parts = {"vision": method, "language": method} if job.work.sees else {"language": method}
    if job.way.name == "head":
        width = hidden_width(loaded.family.config)
        loaded.head = new_head(Head(), [f"class {n}" for n in range(CLASSES)], width, 0, loaded.device)
        parts = {"head": Full()}
    trainable = make_trainable(loaded, parts, seed=0)
    if job.settings.checkpointing == "selective":  # Of layers that were fused only now.
        checkpoint(trainable.loaded.model, "selective")
    settings = Optimizer(schedule="constant", warmup=0)
    optimizer = build_optimizer(trainable.groups, settings)
    loss = ClassLoss(Loss()) if job.way.name == "head" else answer_loss
    updates = _updates(job, clock, loaded.family)
    clock.start(weight for group in trainable.groups for weight in group.parameters.values())
    before: PendingUpdate | None = None
    for underway in fit(trainable, updates, optimizer, settings, loss):
        # As in a stage, the newest is at work while the one before is told of.
        note = (before or underway).result()
        before = underway
        # A token that is laid out once for several samples counts for each.
        clock.tick(note.loss, job.work.tokens if job.settings.shared else note.tokens)
        if clock.over:
            break


class InOrder(BatchPlan):
    """As the product does it, but for the shuffling."""

    def _order(self, epoch: int) -> np.ndarray:
        return np.arange(len(self.examples))


def _updates(job: Job, clock: Clock, family: Any) -> Any:
    """All updates in the order that all engines have, each in one micro-batch unless the settings say otherwise."""
    samples = [one for number in range(clock.total) for one in job.samples(number, family.config)]
    examples = Examples(_example(job, family, number, one) for number, one in enumerate(samples))
    room, share = job.tokens_per_device, job.settings.shared
    return InOrder(job.workload, examples, job.work.samples, room, clock.total, 0, share_prefixes=share)


def _example(job: Job, family: Any, number: int, sample: Sample) -> Any:
    classes = (sample.of_class,) if job.way.name == "head" else None
    trained = np.zeros(len(sample.tokens), bool) if classes else sample.trained
    if sample.picture is None:
        return Example(str(number), sample.tokens, trained, classes)
    file = picture_file(job.pictures, sample.picture)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    picture = Picture(file.name, digest, job.work.side, job.work.side, "", root=file.parent)
    placed = family.image_processor.place(str(number), picture, 2)
    assert placed.num_tokens == job.work.placeholders, (placed.num_tokens, job.work.placeholders)
    return Example(str(number), sample.tokens, trained, classes, pictures=(placed,))
