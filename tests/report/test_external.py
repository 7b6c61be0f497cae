from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tests.report.test_page import Page
from tunesmith.evaluate.rows import read_rows, write_rows
from tunesmith.evaluate.scores import SCORES, score
from tunesmith.files import read_json, write_json
from tunesmith.report.external import external_rows
from tunesmith.report.page import write_report, write_reports_with
from tunesmith.report.run_folder import read_run_folder


def _add(run: Path, name: str, wrong: int) -> Path:
    """Predictions that are those of the base, but for the first so many that are made wrong."""
    note = read_json(run / "run.json")
    write_json(run / "run.json", {**note, "asked": "5e"})
    experiment = read_run_folder(run).experiment
    rows = [
        replace(row, predicted=(row.label + 1) % 4, unread=None, marks={"correct": 0.0})
        if number < wrong and row.label is not None
        else row
        for number, row in enumerate(read_rows(run.parent / "base-2a" / "rows.jsonl"))
    ]
    folder = run.parent / f"predictions-{name}-5e"
    folder.mkdir()
    write_rows(folder / "rows.jsonl", rows)
    SCORES.write(folder, score(rows, experiment.task, experiment.evaluate, 17, name))
    return folder


def test_predictions_from_elsewhere_are_rows_of_the_page(run: Path) -> None:
    folders = [_add(run, "CLIP", 0), _add(run, "vote", 60)]
    rows = external_rows(read_run_folder(run))
    assert [row.name for row in rows] == ["CLIP", "vote"]
    assert [row.change is not None and row.change.verdict for row in rows] == ["better", "better"]
    write_report(run)
    assert write_reports_with(folders[0]) == [run / "report.html"]
    text = Page(run / "report.html").text()
    assert "Predictions from elsewhere" in text
    assert "CLIP" in text


def test_predictions_that_were_asked_otherwise_are_not_shown(run: Path) -> None:
    folder = _add(run, "CLIP", 0)
    folder.rename(run.parent / "predictions-CLIP-77")
    assert external_rows(read_run_folder(run)) == []
    write_report(run)
    assert "Predictions from elsewhere" not in Page(run / "report.html").text()
