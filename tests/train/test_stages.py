from collections.abc import Iterator, Mapping
from pathlib import Path

import torch

from tests.train.small import examples, stage, trainable
from tunesmith.batching.batch import Batch
from tunesmith.config.experiment import Checkpoints, Stage
from tunesmith.config.settings import Duration
from tunesmith.model.loaded import LoadedModel
from tunesmith.model.saving import trained_state
from tunesmith.model.trainable import Trainable
from tunesmith.train.batch_plan import BatchPlan
from tunesmith.train.checkpoint import Progress, latest_checkpoint
from tunesmith.train.loss import AnswerLoss, answer_loss
from tunesmith.train.observers import Evaluation, Event, StageEnd, StageStart, Update
from tunesmith.train.stages import Judge, train_stage

EVERY_STEP = Checkpoints(every=Duration(1.0, "steps"))


def judge(values: list[float], patience: int | None = None) -> Judge:
    coming: Iterator[float] = iter(values)

    def measure() -> Mapping[str, float]:
        return {"accuracy": next(coming)}

    return Judge(measure, "accuracy", "higher", Duration(1.0, "steps"), patience)


def trained(
    folder: Path, model: Trainable, settings: Stage, judged: Judge | None = None
) -> tuple[Progress, list[Event]]:
    events: list[Event] = []
    updates = BatchPlan.of(settings, examples(), seed=1)
    progress = train_stage(
        model,
        updates,
        settings,
        EVERY_STEP,
        folder / "checkpoints",
        answer_loss,
        judged,
        events.append,
        ("hello",),
    )
    return progress, events


def test_events_come_in_order_and_say_what_is_trained(tmp_path: Path) -> None:
    _, events = trained(tmp_path, trainable(tmp_path), stage())
    assert isinstance(events[0], StageStart)
    assert events[0].notes == ("hello",)
    assert events[0].parts[0].method == "lora"
    assert [type(event) for event in events[1:-1]] == [Update] * 9
    assert isinstance(events[-1], StageEnd)
    assert not events[-1].stopped_early


def test_an_update_is_told_of_once_the_next_has_started_unless_something_is_made_of_it(
    tmp_path: Path,
) -> None:
    course: list[str] = []

    class Noted(AnswerLoss):
        def __call__(self, loaded: LoadedModel, batch: Batch) -> torch.Tensor:
            course.append("start")
            return super().__call__(loaded, batch)

    def listen(event: Event) -> None:
        if isinstance(event, Update):
            course.append(f"update {event.step}")

    model, settings = trainable(tmp_path), stage()
    updates = BatchPlan("adapt", examples(), 8, 10_000, steps=5, seed=1)
    saved = Checkpoints(every=Duration(3.0, "steps"))
    train_stage(model, updates, settings, saved, tmp_path / "checkpoints", Noted(), None, listen)
    assert course == [
        "start", "start", "update 1", "start", "update 2", "update 3",
        "start", "start", "update 4", "update 5",
    ]  # fmt: skip


def test_the_weights_at_the_end_are_the_best_not_the_last(tmp_path: Path) -> None:
    model = trainable(tmp_path, dropout=0.0)
    values = [0.1, 0.2, 0.9, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3]
    progress, events = trained(tmp_path, model, stage(), judge(values))
    assert (progress.step, progress.best_step, progress.best_value) == (9, 3, 0.9)
    assert [event.best for event in events if isinstance(event, Evaluation)] == [True] * 3 + [False] * 6
    three = trainable(tmp_path / "three", dropout=0.0)
    settings = stage()
    updates = BatchPlan.of(settings, examples(), seed=1)
    from tunesmith.train.fit import fit
    from tunesmith.train.optimizer import build_optimizer

    for underway in fit(
        three, updates, build_optimizer(three.groups, settings.optimizer), settings.optimizer, answer_loss
    ):
        if underway.result().step == 3:
            break
    for name, weight in trained_state(model).items():
        assert torch.equal(weight, trained_state(three)[name])


def test_patience_ends_a_stage_early_and_says_so(tmp_path: Path) -> None:
    progress, events = trained(
        tmp_path, trainable(tmp_path), stage(), judge([0.5, 0.4, 0.4, 0.9], patience=2)
    )
    assert progress.step == 3
    assert isinstance(events[-1], StageEnd)
    assert events[-1].stopped_early


def test_a_stage_that_stopped_early_does_not_go_on_when_it_is_called_again(tmp_path: Path) -> None:
    trained(tmp_path, trainable(tmp_path), stage(), judge([0.5, 0.4, 0.4], patience=2))
    progress, events = trained(tmp_path, trainable(tmp_path), stage(), judge([], patience=2))
    assert progress.step == 3
    assert [event for event in events if isinstance(event, Update)] == []


def test_lower_is_better_where_the_metric_says_so(tmp_path: Path) -> None:
    falling = judge([3.0, 2.0, 2.5, 2.6, 2.7, 2.8, 2.9, 3.0, 3.1])
    falling = Judge(falling.measure, "accuracy", "lower", falling.every, None)
    progress, _ = trained(tmp_path, trainable(tmp_path), stage(), falling)
    assert progress.best_step == 2


def test_only_the_newest_checkpoint_and_the_best_are_on_disk(tmp_path: Path) -> None:
    trained(tmp_path, trainable(tmp_path), stage(), judge([0.1, 0.9, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2]))
    newest = latest_checkpoint(tmp_path / "checkpoints")
    assert newest is not None
    assert newest.name == "step-9"
    assert sorted(path.name for path in newest.parent.iterdir()) == ["step-2", "step-9"]
