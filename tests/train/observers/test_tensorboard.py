from __future__ import annotations

from pathlib import Path

import pytest

from tests.train.observers.events import EVALUATION, EVENTS, START, update
from tunesmith.train.observers import StageStart
from tunesmith.train.observers.tensorboard import Tensorboard

event_accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")


def curve(folder: Path, name: str) -> list[tuple[int, float]]:
    reader = event_accumulator.EventAccumulator(str(folder))
    reader.Reload()
    return [(point.step, point.value) for point in reader.Scalars(name)]


def test_tensorboard_reads_back_every_curve(tmp_path: Path) -> None:
    listener = Tensorboard().watch(tmp_path, "ag-news/lora", {"name": "ag-news"})
    for event in EVENTS:
        listener.event(event)
    listener.close()
    listener.close()
    stage = tmp_path / "tensorboard" / "adapt"
    assert curve(stage, "loss") == [(step, pytest.approx(1 / step)) for step in (1, 2, 3, 4)]
    assert curve(stage, "tokens_per_second") == [(step, 100.0) for step in (1, 2, 3, 4)]
    assert curve(stage, "validation/accuracy") == [(2, 0.75)]
    reader = event_accumulator.EventAccumulator(str(stage))
    reader.Reload()
    assert b'"name": "ag-news"' in reader.Tensors("experiment/text_summary")[0].tensor_proto.string_val[0]


def test_what_an_interrupted_run_does_again_is_on_the_curve_once(tmp_path: Path) -> None:
    first = Tensorboard().watch(tmp_path, "ag-news/lora", {})
    for event in (START, update(1), update(2), EVALUATION, update(3)):
        first.event(event)
    first.close()
    second = Tensorboard().watch(tmp_path, "ag-news/lora", {})
    for event in (StageStart("adapt", 2, 4, 2, ()), update(3), update(4)):
        second.event(event)
    second.close()
    stage = tmp_path / "tensorboard" / "adapt"
    assert [step for step, _ in curve(stage, "loss")] == [1, 2, 3, 4]
    assert curve(stage, "validation/accuracy") == [(2, 0.75)]


def test_every_stage_is_a_curve_of_its_own(tmp_path: Path) -> None:
    listener = Tensorboard().watch(tmp_path, "ag-news/lora", {})
    for stage in ("first", "second"):
        listener.event(StageStart(stage, 0, 4, 2, ()))
        listener.event(update(1, stage))
    listener.close()
    for stage in ("first", "second"):
        assert [step for step, _ in curve(tmp_path / "tensorboard" / stage, "loss")] == [1]
