from __future__ import annotations

from tunesmith.report.curves import other_curves, overlaid_curves, training_curves
from tunesmith.report.run_folder import read_run_folder


def test_stages_stand_one_after_the_other_on_the_axis(run):
    curves = training_curves(read_run_folder(run).stages, "accuracy")
    assert [mark.label for mark in curves[0].dividers] == ["adapt", "polish"]
    validation = curves[1].lines
    assert max(x for x, _ in validation[0].markers) < min(x for x, _ in validation[1].markers)


def test_a_run_that_has_not_begun_has_no_curves():
    assert training_curves([], "accuracy") == []


def test_many_runs_lie_on_one_another_each_with_its_own_line(experiment):
    names = ["lora", "full"]
    loss, accuracy = overlaid_curves(
        [read_run_folder(experiment / name) for name in names], names, "accuracy"
    )
    for plot in (loss, accuracy):
        assert [line.name for line in plot.lines] == names
        assert len({line.style for line in plot.lines}) == 2
        assert plot.lines[0].path != plot.lines[1].path


def test_other_metrics_are_drawn_apart(run):
    stages = read_run_folder(run).stages
    assert [plot.title for plot in other_curves(stages, "accuracy")] == ["F1 macro on validation records"]
