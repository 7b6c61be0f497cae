from __future__ import annotations

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from tests.report.run_folder_maker import make_experiment
from tunesmith.cli import report
from tunesmith.errors import DataError


@pytest.fixture
def app() -> typer.Typer:
    app = typer.Typer()
    app.command()(report.command)
    return app


def test_the_command_writes_the_page_and_prints_the_headline(app: typer.Typer, tmp_path: Path):
    [run] = make_experiment(tmp_path, records=60)
    result = CliRunner().invoke(app, [str(run)], catch_exceptions=False)
    assert result.exit_code == 0
    assert "held-out records" in result.output
    assert (run / "report.html").exists()
    assert "report.html" in result.output


def test_a_folder_that_is_no_run_is_refused(app: typer.Typer, tmp_path: Path):
    with pytest.raises(DataError, match="not a run folder"):
        CliRunner().invoke(app, [str(tmp_path)], catch_exceptions=False)
