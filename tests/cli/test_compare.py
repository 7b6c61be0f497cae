from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from tests.report.run_folder_maker import make_experiment
from tunesmith.cli import compare


@pytest.fixture
def app() -> typer.Typer:
    app = typer.Typer()
    app.command()(compare.command)
    return app


def test_the_command_writes_the_page_and_prints_the_table(app: typer.Typer, tmp_path: Path):
    runs = make_experiment(tmp_path, ["lora", "full"], records=60)
    page = tmp_path / "all.html"
    result = CliRunner().invoke(app, [*map(str, runs), "--output", str(page)], catch_exceptions=False)
    assert "Of 2 runs on 60 held-out records" in result.output
    assert page.exists()


def test_with_json_nothing_but_json_is_printed(app: typer.Typer, tmp_path: Path):
    runs = make_experiment(tmp_path, ["lora", "full"], records=60)
    options = ["--output", str(tmp_path / "all.html"), "--json"]
    result = CliRunner().invoke(app, [*map(str, runs), *options], catch_exceptions=False)
    assert [entry["name"] for entry in json.loads(result.stdout)["entries"]] == ["base", "lora", "full"]
