"""The training loop: batches in, updates of the weights out. It knows no method, no family, no modality and no task."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from tunesmith.batching.batch import Batch
from tunesmith.config.experiment import Optimizer as OptimizerSettings
from tunesmith.model.loaded import LoadedModel
from tunesmith.model.trainable import Trainable
from tunesmith.train.batch_plan import BatchPlan
from tunesmith.train.loss import Loss
from tunesmith.train.memory import peak_memory_gib
from tunesmith.train.observers import Update
from tunesmith.train.optimizer import clipped_step, set_learning_rate
from tunesmith.train.pending_update import CudaTimer, PendingUpdate
from tunesmith.train.schedule import factor, warmup_steps


def fit(
    trainable: Trainable,
    plan: BatchPlan,
    optimizer: torch.optim.Optimizer,
    settings: OptimizerSettings,
    loss: Loss,
    start: int = 0,
) -> Iterator[PendingUpdate]:
    """Train from update `start` (0 for the first) to the last, giving each once it has been started: who asks for its
    result waits for it, and who does not lets the GPU work on while the next one is prepared.

    Gradients are those of the mean loss per trained token (or whatever the loss counts) over the whole update, however
    it is cut into micro-batches; if memory runs out, the update is cut smaller and done again. Whoever iterates may
    evaluate, save or stop between two updates.
    """
    loaded = trainable.loaded
    weights = [weight for group in trainable.groups for weight in group.parameters.values()]
    warmup = warmup_steps(settings.warmup, plan.steps)
    loaded.train()
    timer = CudaTimer(loaded.device)
    for step, batches in plan.prefetch(start, loaded.device):
        rate = set_learning_rate(optimizer, factor(step, plan.steps, warmup, settings.schedule))
        while (mean := backward(loaded, batches, loss)) is None:
            optimizer.zero_grad(set_to_none=True)
            batches = plan.split(step, batches, loaded.device)
        norm = clipped_step(optimizer, weights, settings.max_grad_norm)
        optimizer.zero_grad(set_to_none=True)
        note = partial(
            Update,
            stage=plan.stage,
            step=step + 1,
            steps=plan.steps,
            epoch=(step + 1) / plan.steps_per_epoch,
            learning_rate=rate,
            tokens=sum(len(batch.tokens) for batch in batches),
            trained_tokens=sum(loss.num_trained(batch) for batch in batches),
            memory_gib=peak_memory_gib(loaded.device),
            tokens_per_device=plan.tokens_per_device,
            forecast_gib=plan.forecast_gib,
        )
        yield PendingUpdate(note, timer, torch.stack([mean, norm]))
        timer = CudaTimer(loaded.device)


def backward(loaded: LoadedModel, batches: Sequence[Batch], loss: Loss) -> Float[Tensor, ""] | None:
    """Add the gradients of the mean loss over all the batches to the weights', and give that loss; None, with gradients
    half done, if memory ran out."""
    weight = sum(loss.weight(batch) for batch in batches)
    mean = torch.zeros((), device=loaded.device)
    try:
        for batch in batches:
            share = loss(loaded, batch) / weight
            share.backward()  # type: ignore[no-untyped-call]
            mean += share.detach()
            # What it was computed by would live on beside the next batch's.
            del share
    except torch.OutOfMemoryError:
        return None
    return mean
