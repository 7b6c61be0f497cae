"""One stage of training: goes on from its last checkpoint, evaluates, keeps the best, and stops early if asked to."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from tunesmith.config.experiment import Checkpoints, Stage
from tunesmith.config.settings import Duration
from tunesmith.model.trainable import Trainable
from tunesmith.train.batch_plan import BatchPlan
from tunesmith.train.checkpoint import (
    Progress,
    discard_checkpoints,
    latest_checkpoint,
    restore_checkpoint,
    restore_weights,
    save_checkpoint,
)
from tunesmith.train.divergence import Watchdog, blind_loss
from tunesmith.train.fit import fit
from tunesmith.train.loss import Loss
from tunesmith.train.memory import forget_peak
from tunesmith.train.observers import Evaluation, Event, StageEnd, StageStart
from tunesmith.train.optimizer import build_optimizer
from tunesmith.train.pending_update import PendingUpdate


@dataclass(frozen=True)
class Judge:
    """How validation records tell which checkpoint is best."""

    measure: Callable[[], Mapping[str, float]]
    """Scores the model as it is now; must leave weights, mode and random states as they were."""
    metric: str
    better: Literal["higher", "lower"]
    every: Duration
    patience: int | None

    def note(self, progress: Progress, metrics: Mapping[str, float]) -> tuple[Progress, bool]:
        """The progress with this evaluation counted, and whether it is the best so far. One without a finite value of
        the metric never is."""
        value, best = metrics.get(self.metric, math.nan), progress.best_value
        is_better = best is None or (value > best if self.better == "higher" else value < best)
        if is_better and math.isfinite(value):
            found = replace(progress, best_step=progress.step, best_value=value, evaluations_since_best=0)
            return found, True
        return replace(progress, evaluations_since_best=progress.evaluations_since_best + 1), False

    def has_lost_patience(self, progress: Progress) -> bool:
        """True if the stage should stop here."""
        return self.patience is not None and progress.evaluations_since_best >= self.patience


def train_stage(
    trainable: Trainable,
    plan: BatchPlan,
    stage: Stage,
    checkpoints: Checkpoints,
    folder: Path,
    loss: Loss,
    judge: Judge | None,
    listen: Callable[[Event], None],
    notes: tuple[str, ...] = (),
) -> Progress:
    """Train to the end of the stage, from the newest checkpoint in `folder` if there is one; afterwards the weights
    are the best by the judge, or the last without one. ModelError if training diverges: see `Watchdog`."""
    forget_peak(trainable.loaded.device)
    optimizer = build_optimizer(trainable.groups, stage.optimizer)
    newest = latest_checkpoint(folder)
    progress = restore_checkpoint(newest, trainable, optimizer) if newest else Progress()
    at_once, per_epoch = plan.tokens_per_device, plan.steps_per_epoch
    listen(StageStart(stage.name, progress.step, plan.steps, per_epoch, trainable.summary, notes, at_once))
    save_every = checkpoints.every.steps(per_epoch)
    judge_every = judge.every.steps(per_epoch) if judge else plan.steps
    stopped = judge is not None and judge.has_lost_patience(progress)
    watchdog = Watchdog(stage, plan, folder, blind_loss(trainable.loaded), listen)
    started: deque[PendingUpdate] = deque()
    for pending in () if stopped else fit(trainable, plan, optimizer, stage.optimizer, loss, progress.step):
        step, is_best = progress.step + len(started) + 1, False
        is_last = step == plan.steps
        is_judged, is_saved = is_last or step % judge_every == 0, is_last or step % save_every == 0
        started.append(pending)
        # The newest is told of when the next one has been started, so that a GPU never waits for that.
        while len(started) > (0 if is_judged or is_saved else 1):
            update = watchdog.watched(started.popleft().result())
            progress = replace(progress, step=update.step, seconds=progress.seconds + update.seconds)
        if is_judged or is_saved:
            watchdog.refuse_unfinite_weights(trainable, step)
        if judge and is_judged:
            metrics = judge.measure()
            progress, is_best = judge.note(progress, metrics)
            listen(Evaluation(stage.name, step, metrics, is_best, judge.metric))
            stopped = judge.has_lost_patience(progress)
        if is_best or is_saved or stopped:
            save_checkpoint(folder, trainable, optimizer, progress)
            discard_checkpoints(folder, checkpoints.num_to_keep, progress.best_step)
        if stopped:
            break
    if progress.best_step is not None and progress.best_step != progress.step:
        restore_weights(folder / f"step-{progress.best_step}", trainable)
    listen(StageEnd(stage.name, progress.step, stopped and progress.step < plan.steps, progress.seconds))
    return progress
