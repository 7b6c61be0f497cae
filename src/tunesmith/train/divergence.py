"""Whether training has diverged: a loss, gradient norm or weight that is not finite, or a loss that keeps growing.

Losses and norms are looked at when they are read for the log, one update late, and weights before an evaluation or a
checkpoint, which wait for the device anyway: nothing is waited for that would not be without.
"""

from __future__ import annotations

import math
import statistics
from collections import deque
from collections.abc import Callable
from pathlib import Path

import torch

from tunesmith.config.experiment import Stage
from tunesmith.errors import ModelError, counted
from tunesmith.model.loaded import LoadedModel
from tunesmith.model.trainable import Trainable
from tunesmith.train.batch_plan import BatchPlan
from tunesmith.train.checkpoint import latest_checkpoint, step_of
from tunesmith.train.observers import Diverged, Event, Update

_MOST_NAMED = 20


def blind_loss(loaded: LoadedModel) -> float:
    """Nats of a guess that finds every class, or every token of the vocabulary, equally likely."""
    if loaded.head is not None:
        return math.log(len(loaded.head.labels))
    return math.log(loaded.family.config.get_text_config().vocab_size)


class Watchdog:
    """Looks at the updates of one stage and raises ModelError when training has diverged."""

    def __init__(
        self,
        stage: Stage,
        updates: BatchPlan,
        checkpoints: Path,
        blind: float,
        listen: Callable[[Event], None],
    ) -> None:
        """`checkpoints` is the folder of the stage's checkpoints, `blind` the loss of a blind guess; `listen` gets the
        updates, and `Diverged` before a ModelError is raised."""
        self._stage, self._updates, self._checkpoints = stage, updates, checkpoints
        self._listen = listen
        self._losses: deque[float] = deque(maxlen=stage.divergence.num_updates)
        self._lowest = blind
        self._last: Update | None = None

    def watched(self, update: Update) -> Update:
        """The update, after it has been logged. ModelError if training has diverged: before anyone reads a loss
        that is not finite, and after the update with which a loss has grown too far."""
        self.refuse_unfinite(update)
        self._listen(update)
        self.refuse_rise(update)
        return update

    def refuse_unfinite(self, update: Update) -> None:
        """Raise ModelError if the update's loss or gradient norm is NaN or infinite."""
        names = {"loss": update.loss, "gradient norm": update.gradient_norm}
        wrong = [f"the {name} is {value}" for name, value in names.items() if not math.isfinite(value)]
        if wrong:
            before = (
                "" if self._last is None else f"; the loss of the update before was {self._last.loss:.4g}"
            )
            raise self._diverged(update.step, update.learning_rate, " and ".join(wrong) + before)
        self._last = update

    def refuse_rise(self, update: Update) -> None:
        """Raise ModelError if the median loss of the latest updates is too far above the lowest so far."""
        settings = self._stage.divergence
        self._losses.append(update.loss)
        # Of few losses the lower one, so that a single loss never stops a stage that has just begun.
        median = statistics.median_low(self._losses)
        if (
            settings.max_rise is not None
            and len(self._losses) > 1
            and median > self._lowest + settings.max_rise
        ):
            number = counted(len(self._losses), "update")
            what = (
                f"the loss has grown: the median of the last {number} is {median:.4g}, more than "
                f"{settings.max_rise:g} nats (divergence.max_rise) above {self._lowest:.4g}, the lowest so far or the "
                "loss of a blind guess"
            )
            raise self._diverged(update.step, update.learning_rate, what)
        if len(self._losses) == settings.num_updates:
            self._lowest = min(self._lowest, median)

    def refuse_unfinite_weights(self, trainable: Trainable, step: int) -> None:
        """Raise ModelError if a trained weight is NaN or infinite after update `step` (from 1); nothing is saved
        then."""
        named = {name: weight for group in trainable.groups for name, weight in group.parameters.items()}
        finite = torch.stack([weight.detach().isfinite().all() for weight in named.values()]).tolist()
        wrong = [name for name, is_finite in zip(named, finite, strict=True) if not is_finite]
        if wrong:
            what = f"{counted(len(wrong), 'weight')} of {len(named):,} are not finite, such as {wrong[0]}"
            rate = self._last.learning_rate if self._last is not None else math.nan
            raise self._diverged(step, rate, what)

    def _diverged(self, step: int, rate: float, what: str) -> ModelError:
        """The error to raise, after the listeners got the event: what happened, in which update and on which records,
        what is kept, and what to do."""
        records = self._updates.records(step - 1)
        more = f" and {len(records) - _MOST_NAMED} more" if len(records) > _MOST_NAMED else ""
        newest = latest_checkpoint(self._checkpoints)
        kept = (
            f"The checkpoint of update {step_of(newest):,} is kept: {newest}"
            if newest
            else "No checkpoint had been written before"
        )
        clip = "" if self._stage.optimizer.max_grad_norm else ", set optimizer.max_grad_norm: 1.0"
        self._listen(Diverged(self._stage.name, step, self._updates.steps, what, kept))
        return ModelError(
            f"stage {self._stage.name!r}: training diverged at update {step:,} of {self._updates.steps:,} (learning "
            f"rate {rate:.3g}): {what}.\n"
            f"Its {counted(len(records), 'example')}: {', '.join(records[:_MOST_NAMED])}{more}.\n"
            f"{kept}. Set a lower optimizer.learning_rate{clip}, a longer optimizer.warmup, or look at these records "
            "with `tunesmith show`. Other settings make a new run; this one stays as it is"
        )
