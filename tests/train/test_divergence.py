"""A stage that diverges is stopped at once, and what it had before is kept."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.train.small import examples, stage, trainable
from tunesmith.config.experiment import Checkpoints, Divergence, Optimizer, Stage
from tunesmith.config.settings import Duration
from tunesmith.errors import ModelError
from tunesmith.model.trainable import Trainable
from tunesmith.train.batch_plan import BatchPlan
from tunesmith.train.checkpoint import Progress, latest_checkpoint
from tunesmith.train.divergence import Watchdog, blind_loss
from tunesmith.train.loss import answer_loss
from tunesmith.train.observers import Diverged, Event, Update
from tunesmith.train.stages import Judge, train_stage


def trained(
    folder: Path, model: Trainable, settings: Stage, listen: Callable[[Event], None] = lambda event: None
) -> Progress:
    updates = BatchPlan.of(settings, examples(), seed=1)
    every = Checkpoints(every=Duration(1.0, "steps"))
    return train_stage(model, updates, settings, every, folder / "checkpoints", answer_loss, None, listen)


def test_a_loss_that_is_not_a_number_names_update_rate_and_records_and_is_never_logged(
    tmp_path: Path,
) -> None:
    settings = stage(
        optimizer=Optimizer(learning_rate=1e30, max_grad_norm=None, schedule="constant", warmup=0)
    )
    events: list[Event] = []
    with pytest.raises(ModelError) as error:
        trained(tmp_path, trainable(tmp_path, full=True), settings, events.append)
    text = str(error.value)
    assert "stage 'train': training diverged at update 2 of 9 (learning rate 1e+30): the loss is nan" in text
    records = BatchPlan.of(settings, examples(), seed=1).records(1)
    assert len(records) == 8
    assert f"Its 8 examples: {', '.join(records)}." in text
    assert "The checkpoint of update 1 is kept" in text
    assert "set optimizer.max_grad_norm: 1.0" in text
    assert [event.step for event in events if isinstance(event, Update)] == [1]
    assert all(math.isfinite(event.loss) for event in events if isinstance(event, Update))


@pytest.mark.parametrize("value", [math.inf, math.nan])
def test_a_weight_that_is_not_finite_is_never_saved(tmp_path: Path, value: float) -> None:
    model = trainable(tmp_path)

    def spoil(event: Event) -> None:
        if isinstance(event, Update) and event.step == 3:
            weight = next(iter(model.groups[0].parameters.values()))
            with torch.no_grad():
                weight.view(-1)[0] = value

    with pytest.raises(
        ModelError, match=r"update 3 of 9.*: 1 weight of \d+ are not finite, such as .*lora_A"
    ):
        trained(tmp_path, model, stage(), spoil)
    newest = latest_checkpoint(tmp_path / "checkpoints")
    assert newest is not None
    assert newest.name == "step-2"


def test_the_records_of_an_update_are_those_that_it_is_made_of() -> None:
    updates = BatchPlan.of(stage(), examples(), seed=1)
    for step in (0, 4, 8):
        members = [index for micro_batch in updates.members(step, 64) for index in micro_batch]
        assert sorted(updates.records(step)) == sorted(updates.examples[index].record for index in members)


def fed(losses: list[float], **divergence: float | None) -> Watchdog:
    """A watchdog that has seen these losses; a blind guess has the loss 2."""
    settings = stage(divergence=Divergence(**divergence))
    dog = Watchdog(settings, BatchPlan.of(settings, examples(), seed=1), Path("none"), 2.0, [].append)
    for step, loss in enumerate(losses, 1):
        dog.refuse_rise(Update("train", step, 9, 1.0, loss, 0.1, 1.0, 10, 5, 0.1, 0.1))
    return dog


def test_a_loss_that_stays_high_above_the_lowest_stops_the_stage(tmp_path: Path) -> None:
    falling = [1.5, 1.2, 1.0, 0.8, 0.7]
    with pytest.raises(
        ModelError, match=r"update 8 of 9.*median of the last 5 updates is 5\.5, more than 4 nats"
    ):
        fed([*falling, 5.5, 5.5, 5.5], num_updates=5)
    fed([*falling, 4.5, 4.5, 4.5, 4.5], num_updates=5)
    fed([*falling, 5.5, 5.5, 5.5], num_updates=5, max_rise=5.0)
    fed([*falling, 5.5, 5.5, 5.5], num_updates=5, max_rise=None)


def test_the_log_says_what_diverged_when_and_what_is_kept(tmp_path: Path) -> None:
    events: list[Event] = []
    settings = stage()
    dog = Watchdog(settings, BatchPlan.of(settings, examples(), seed=1), tmp_path, 2.0, events.append)
    with pytest.raises(ModelError):
        dog.watched(Update("train", 4, 9, 1.0, math.nan, 0.1, 1.0, 10, 5, 0.1, 0.1))
    [event] = events
    assert event == Diverged("train", 4, 9, "the loss is nan", "No checkpoint had been written before")


def test_a_single_batch_that_is_wrong_does_not_stop_it(tmp_path: Path) -> None:
    fed([1.0, 0.8, 900.0, 0.7, 0.6, 0.5, 0.4, 900.0, 0.3])
    fed([900.0, 1.0, 0.9])
    fed([0.01, 5.9, 0.02, 5.9, 0.01])


def test_a_stage_shorter_than_the_window_is_stopped_by_what_a_blind_guess_would_cost(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="update 3 of 9"):
        fed([1.9, 5000.0, 8000.0])


def test_a_blind_guess_knows_how_many_tokens_there_are(tmp_path: Path) -> None:
    loaded = trainable(tmp_path).loaded
    assert blind_loss(loaded) == pytest.approx(math.log(loaded.family.config.vocab_size))


@pytest.mark.parametrize("metrics", [{"accuracy": math.nan}, {}, {"accuracy": math.inf}])
def test_an_evaluation_without_a_finite_value_is_never_the_best(metrics: dict[str, float]) -> None:
    judge = Judge(dict, "accuracy", "higher", Duration(1.0, "steps"), patience=1)
    for before in (Progress(step=3), Progress(step=3, best_step=2, best_value=0.1)):
        progress, is_best = judge.note(before, metrics)
        assert not is_best
        assert progress.best_step == before.best_step
        assert judge.has_lost_patience(progress)
