from __future__ import annotations

import json
from pathlib import Path

from tunesmith.pipeline.log import copy_log, rewind_log


def test_only_later_updates_of_the_stage_are_taken_back_from_the_log(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    first = [
        {"event": "update", "stage": "first", "step": 9},
        {"event": "stage_end", "stage": "first", "step": 9},
    ]
    kept = [
        {"event": "stage_start", "stage": "second", "step": 0},
        {"event": "update", "stage": "second", "step": 3, "note": "früh 🙂\u2028"},
        {"event": "evaluation", "stage": "second", "step": 3},
    ]
    undone = [
        {"event": "update", "stage": "second", "step": 4},
        {"event": "evaluation", "stage": "second", "step": 4},
        {"event": "stage_end", "stage": "second", "step": 3},
    ]
    lines = [json.dumps(event, ensure_ascii=False) for event in [*first, *kept, *undone]]
    log.write_text("\n".join(lines) + '\n{"event": "update", "sta', encoding="utf-8")
    rewind_log(log, "second", 3)
    text = log.read_text(encoding="utf-8")
    assert [json.loads(line) for line in text.rstrip("\n").split("\n")] == [*first, *kept]
    assert text.endswith("\n")


def test_a_run_that_has_no_log_yet_has_nothing_to_take_back(tmp_path: Path) -> None:
    rewind_log(tmp_path / "log.jsonl", "first", 0)
    assert list(tmp_path.iterdir()) == []


def test_what_one_log_says_of_a_stage_is_copied_once_and_no_other_stage_is_touched(tmp_path: Path) -> None:
    source, target = tmp_path / "old.jsonl", tmp_path / "new.jsonl"
    taken = [{"event": "update", "stage": "first", "step": step} for step in (1, 2)]
    other = {"event": "update", "stage": "second", "step": 1}
    source.write_text("".join(f"{json.dumps(event)}\n" for event in [*taken, other]))
    target.write_text(f"{json.dumps(other)}\n")
    for _ in range(2):
        copy_log(source, target, "first")
        assert [json.loads(line) for line in target.read_text().splitlines()] == [other, *taken]
