from __future__ import annotations

import json
from pathlib import Path

from tunesmith.runs.stage import DONE, PARTS, StageResult, TrainedPart


def test_a_stage_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    (tmp_path / "done.json").write_text(json.dumps({"fingerprint": "a", "steps": 2, "seconds": 1.5}))
    assert DONE.read(tmp_path) == StageResult("a", steps=2, seconds=1.5)


def test_parts_are_a_list_in_the_order_of_the_model(tmp_path: Path) -> None:
    parts = tuple(TrainedPart(name, "lora", 2, 8, 0.25, 8) for name in ("vision", "language"))
    PARTS.write(tmp_path, parts)
    assert PARTS.read(tmp_path) == parts
