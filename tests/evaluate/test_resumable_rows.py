from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.evaluate.made import TASK, row
from tunesmith.evaluate.resumable_rows import answered_in
from tunesmith.records.conversation import Conversation
from tunesmith.records.record import Record

ASKED = [
    TASK.conversation(Record(f"a:{number}", {"text": "x", "label": TASK.labels_in_order[0]}))
    for number in range(3)
]


def interrupted(
    folder: Path, settings: Any = "one", asked: list[Conversation] = ASKED, number: int = 0
) -> set[int]:
    """What is there when an evaluation begins, which then answers one more and is killed."""
    with pytest.raises(KeyboardInterrupt), answered_in(folder, settings, asked) as answered:  # noqa: PT012
        before = set(answered.rows)
        answered.add(number, row(number, 0, 0))
        raise KeyboardInterrupt
    return before


def test_answers_gather_over_several_interruptions(tmp_path: Path) -> None:
    assert [interrupted(tmp_path, number=number) for number in (2, 0, 1)] == [set(), {2}, {0, 2}]
    with answered_in(tmp_path, "one", ASKED) as answered:
        assert answered.rows == {number: row(number, 0, 0) for number in range(3)}
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("torn", [b"{", b'{"index": 1, "seconds": 0.1, "row": {"record": "\xc3'])
def test_a_line_that_was_being_written_is_not_an_answer(tmp_path: Path, torn: bytes) -> None:
    interrupted(tmp_path)
    with (tmp_path / "rows.partial.jsonl").open("ab") as file:
        file.write(torn)
    assert interrupted(tmp_path) == {0}


@pytest.mark.parametrize("begun", ["", '{"ke'])
def test_a_file_that_was_only_begun_counts_as_none(tmp_path: Path, begun: str) -> None:
    (tmp_path / "rows.partial.jsonl").write_text(begun)
    assert interrupted(tmp_path) == set()


def test_other_settings_or_questions_begin_anew(tmp_path: Path) -> None:
    interrupted(tmp_path)
    assert interrupted(tmp_path, settings="two") == set()
    assert interrupted(tmp_path, settings="two") == {0}
    assert interrupted(tmp_path, settings="two", asked=ASKED[:2]) == set()


def test_time_is_counted_over_interruptions(tmp_path: Path) -> None:
    interrupted(tmp_path)
    path = tmp_path / "rows.partial.jsonl"
    path.write_text(path.read_text().replace('"seconds": 0.', '"seconds": 100.'))
    with answered_in(tmp_path, "one", ASKED) as answered:
        assert 100 <= answered.seconds < 160


def test_without_a_folder_nothing_is_written() -> None:
    with answered_in(None, "one", ASKED) as answered:
        answered.add(0, row(0, 0, 0))
    assert set(answered.rows) == {0}
