from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("trackio")

# trackio takes its folder from the environment when it is imported, so it is used in a process of its own.
SCRIPT = """
from pathlib import Path
from tests.train.observers.events import EVENTS
from tunesmith.train.observers.trackio import Trackio

for events in (EVENTS[:3], EVENTS[3:]):
    listener = Trackio(project="news").watch(Path(), "ag-news/lora", {"name": "ag-news"})
    for event in events:
        listener.event(event)
    listener.close()
    listener.close()
"""


def test_an_interrupted_run_is_one_run_with_every_number(tmp_path: Path) -> None:
    environment = os.environ | {"TRACKIO_DIR": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], cwd=root, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    with sqlite3.connect(tmp_path / "news.db") as database:
        rows = database.execute("select run_name, step, metrics from metrics order by step, id").fetchall()
    database.close()
    assert {name for name, _, _ in rows} == {"ag-news/lora"}
    numbers = [(step, json.loads(metrics)) for _, step, metrics in rows]
    losses = {step: metrics["adapt/loss"] for step, metrics in numbers if "adapt/loss" in metrics}
    assert losses == {step: pytest.approx(1 / step) for step in (1, 2, 3, 4)}
    assert [
        (step, m["adapt/validation/accuracy"]) for step, m in numbers if "adapt/validation/accuracy" in m
    ] == [(2, 0.75)]
