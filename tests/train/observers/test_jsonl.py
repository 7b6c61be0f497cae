from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from tests.train.observers.events import END, EVALUATION, EVENTS, START, update
from tunesmith.train.observers import Evaluation, StageEnd, StageStart, Update
from tunesmith.train.observers._jsonl import Jsonl

KINDS = {"stage_start": StageStart, "update": Update, "evaluation": Evaluation, "stage_end": StageEnd}


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_every_event_can_be_read_back_as_it_was(tmp_path: Path) -> None:
    log = Jsonl(tmp_path / "run" / "log.jsonl")
    for event in EVENTS:
        log.event(event)
    log.close()
    log.close()
    read = [
        TypeAdapter(KINDS[line["event"]]).validate_python(line)
        for line in lines(tmp_path / "run" / "log.jsonl")
    ]
    assert read == list(EVENTS)


def test_a_line_is_on_disk_at_once_and_a_second_run_adds_to_the_first(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    first = Jsonl(path)
    first.event(START)
    assert [line["event"] for line in lines(path)] == ["stage_start"]
    first.event(update(1))
    assert [line["event"] for line in lines(path)] == ["stage_start", "update"]
    first.close()
    second = Jsonl(path)
    second.event(EVALUATION)
    second.event(END)
    second.close()
    assert [line["event"] for line in lines(path)] == ["stage_start", "update", "evaluation", "stage_end"]


def test_the_time_is_utc(tmp_path: Path) -> None:
    log = Jsonl(tmp_path / "log.jsonl")
    log.event(START)
    log.close()
    text = lines(tmp_path / "log.jsonl")[0]["time"]
    assert text.endswith("Z")
    assert abs(datetime.now(UTC) - datetime.fromisoformat(text)) < timedelta(minutes=1)


def test_a_number_that_is_none_is_null_so_that_every_line_is_json(tmp_path: Path) -> None:
    jsonl = Jsonl(tmp_path / "log.jsonl")
    jsonl.event(Evaluation("adapt", 2, {"loss": float("nan"), "accuracy": 0.5}, best=False))
    jsonl.close()
    line = json.loads((tmp_path / "log.jsonl").read_text(), parse_constant=pytest.fail)
    assert line["metrics"] == {"loss": None, "accuracy": 0.5}
