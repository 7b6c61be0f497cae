from __future__ import annotations

import io
from pathlib import Path

from rich.console import Console

from tests.train.observers.events import EVENTS
from tunesmith.train.observers._listeners import open_listeners


def test_an_event_reaches_the_terminal_both_logs_and_every_tracker(tmp_path: Path) -> None:
    text = io.StringIO()
    with open_listeners(tmp_path, tmp_path / "log.jsonl", "a/b", {}, (), Console(file=text)) as listen:
        for event in EVENTS:
            listen(event)
    assert len((tmp_path / "log.jsonl").read_text().splitlines()) == len(EVENTS)
    for shown in (text.getvalue(), (tmp_path / "train.log").read_text()):
        assert "adapt: 4 steps in 0:00:04" in shown
