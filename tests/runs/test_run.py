from __future__ import annotations

import json
from pathlib import Path

from tunesmith.runs.run import ENVIRONMENT, RUN, Environment, RunInfo


def test_the_second_run_of_a_variant_is_called_by_its_number() -> None:
    assert RunInfo("news", "lora").label == "lora"
    assert RunInfo("news", "lora", number=2).label == "lora@2"


def test_a_run_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(json.dumps({"experiment": "news", "variant": "main"}))
    assert RUN.read(tmp_path) == RunInfo("news", "main")


def test_environments_that_a_run_was_continued_in_are_read_too(tmp_path: Path) -> None:
    environment = Environment({"torch": "2.11"}, cores=2, later=(Environment({"torch": "2.12"}),))
    ENVIRONMENT.write(tmp_path, environment)
    assert ENVIRONMENT.read(tmp_path) == environment
