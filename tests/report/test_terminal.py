from __future__ import annotations

import io
import shutil

from rich.console import Console

from tunesmith.report.compare import compare_folders
from tunesmith.report.terminal import print_comparison, print_summary


def printed(show, *values) -> str:
    text = io.StringIO()
    show(*values, Console(file=text, width=160))
    return text.getvalue().replace("\u202f", " ")


def test_the_end_of_a_run_shows_headline_table_and_unread(run):
    text = printed(print_summary, run)
    assert "Accuracy on 400 held-out records rose from" in text
    assert "▲ better" in text
    assert "Could not be read: base" in text


def test_the_end_of_a_run_shows_how_many_answers_were_cut(run):
    assert "Cut at" not in printed(print_summary, run)
    file = run / "evaluation" / "scores.json"
    file.write_text(file.read_text().replace('"cut": 0', '"cut": 7'))
    assert "Cut at the maximum length: tuned 7 of 400" in printed(print_summary, run)


def test_a_half_done_run_says_what_is_missing(run):
    shutil.rmtree(run / "evaluation")
    assert "The tuned model is not evaluated yet" in printed(print_summary, run)


def test_square_brackets_in_a_class_name_are_no_markup(run):
    file = run / "evaluation" / "comparison.json"
    worse = '{"label": "[red]", "metric": "f1", "first": 1, "second": 0, "change": -1, "low": -1, "high": -1}'
    file.write_text(file.read_text().replace('"worse_classes": []', f'"worse_classes": [{worse}]'))
    assert "Worse: [red] F1" in printed(print_summary, run)


def test_many_runs_have_one_table(experiment):
    text = printed(print_comparison, compare_folders([experiment / "lora", experiment / "full"], experiment))
    assert [line.split()[0] for line in text.splitlines() if " % (" in line][-3:] == ["base", "lora", "full"]
    assert "full against lora: +" in text
    assert max(len(line.rstrip()) for line in text.splitlines() if "%" in line and "Of 2" not in line) <= 130
    assert "none is clearly the best by accuracy: full has" in " ".join(text.split())
