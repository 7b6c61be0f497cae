from __future__ import annotations

from pathlib import Path

from tests.report.run_folder_maker import add_predictions
from tests.report.test_page import Page
from tunesmith.report.external import external_rows
from tunesmith.report.page import write_report, write_reports_with
from tunesmith.report.run_folder import read_run_folder


def test_predictions_from_elsewhere_are_rows_of_the_page(run: Path) -> None:
    folders = [add_predictions(run, "CLIP", 0), add_predictions(run, "vote", 60)]
    rows = external_rows(read_run_folder(run))
    assert [row.name for row in rows] == ["CLIP", "vote"]
    assert [row.change is not None and row.change.verdict for row in rows] == ["better", "better"]
    write_report(run)
    assert write_reports_with(folders[0]) == [run / "report.html"]
    text = Page(run / "report.html").text()
    assert "Predictions from elsewhere" in text
    assert "CLIP" in text


def test_predictions_that_were_asked_otherwise_are_not_shown(run: Path) -> None:
    folder = add_predictions(run, "CLIP", 0)
    folder.rename(run.parent / "predictions-CLIP-77")
    assert external_rows(read_run_folder(run)) == []
    write_report(run)
    assert "Predictions from elsewhere" not in Page(run / "report.html").text()
