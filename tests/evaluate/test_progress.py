from __future__ import annotations

import io

import pytest
from rich.console import Console

from tunesmith.evaluate import progress
from tunesmith.evaluate.progress import counting


def shown(is_terminal: bool, total: int | None = 4) -> str:
    file = io.StringIO()
    console = Console(file=file, force_terminal=is_terminal, width=100)
    with counting("answers (base)", total, 1, console) as advance:
        for _ in range(3):
            advance()
    return file.getvalue()


def test_a_terminal_shows_a_bar_that_goes_on_from_what_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    text = shown(is_terminal=True)
    assert "answers (base)" in text
    assert "4/4" in text


def test_a_log_file_gets_a_line_only_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown(is_terminal=False) == ""
    monkeypatch.setattr(progress, "_SECONDS_BETWEEN_LINES", -1.0)
    lines = shown(is_terminal=False).splitlines()
    assert [line.partition(",")[0] for line in lines] == [
        f"answers (base): {done} of 4" for done in (2, 3, 4)
    ]
    assert lines[-1].endswith(" 0 s left")


def test_without_a_known_total_the_count_and_the_rate_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_SECONDS_BETWEEN_LINES", -1.0)
    last = shown(is_terminal=False, total=None).splitlines()[-1]
    assert last.startswith("answers (base): 4, ")
    assert last.endswith(" a second")
    monkeypatch.setenv("TERM", "xterm-256color")
    assert "4/?" in shown(is_terminal=True, total=None)
