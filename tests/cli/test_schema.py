"""`tunesmith schema` hands the grammar to editors."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.test_main import tunesmith
from tunesmith.config.schema import experiment_schema


def test_the_schema_is_printed_as_json() -> None:
    assert json.loads(tunesmith("schema").stdout) == json.loads(json.dumps(experiment_schema()))


def test_the_schema_is_written_to_a_file_and_how_to_use_it_is_said(tmp_path: Path) -> None:
    path = tmp_path / "new" / "experiment.json"
    said = tunesmith("schema", "--output", str(path))
    assert json.loads(path.read_text(encoding="utf-8"))["title"] == "tunesmith experiment"
    assert f"# yaml-language-server: $schema={path}" in said.stdout
