"""Sizes of classes in a report, and what is had without a model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.report.run_folder_maker import TOPICS, make_experiment
from tunesmith.report.classes import baselines, class_curves, size_plot, size_rows
from tunesmith.report.page import write_report
from tunesmith.report.run_folder import RunView, read_run_folder


def with_classes(folder: Path, counts: list[int], weights: list[float] | None = None) -> RunView:
    made = make_experiment(folder)[0]
    stage = next((made / "stages").iterdir())
    classes = {"labels": list(TOPICS), "counts": counts, "weights": weights}
    (stage / "classes.json").write_text(json.dumps(classes))
    return read_run_folder(made)


def test_baselines_are_chance_and_the_class_most_frequent_in_training(tmp_path: Path) -> None:
    run = with_classes(tmp_path, [5, 90, 10, 20])
    assert run.tuned is not None
    share = sum(run.tuned.scores.confusion.counts[1]) / 400  # type: ignore[union-attr]
    assert list(baselines(run)) == [
        ("One of 4 by chance", "25.0\u202f%"),
        ("Always Sports, the most frequent in training", f"{share * 100:.1f}\u202f%"),
    ]
    assert "Always Sports, the most frequent in training: " in write_report(run.path).read_text()


@pytest.mark.parametrize(
    ("counts", "tied", "name"),
    [
        ([50] * 4, [0, 1, 2, 3], "One class, always (in training all are equally frequent)"),
        ([50, 20, 50, 20], [0, 2], "One class, always, of the 2 most frequent in training"),
    ],
)
def test_no_class_is_called_the_most_frequent_where_several_are(
    tmp_path: Path, counts: list[int], tied: list[int], name: str
) -> None:
    run = with_classes(tmp_path, counts)
    assert run.tuned is not None
    assert run.tuned.scores.confusion is not None
    held_out = [sum(run.tuned.scores.confusion.counts[index]) / 4 for index in tied]
    least, largest = min(held_out), max(held_out)
    assert list(baselines(run))[1] == (
        name,
        f"{least:.1f}\u202f% to {largest:.1f}\u202f%, whichever it is",
    )


def test_a_class_is_drawn_where_its_number_of_training_examples_is(tmp_path: Path) -> None:
    run = with_classes(tmp_path, [5, 90, 10, 20], [2.0, 0.3, 1.0, 0.7])
    plot = size_plot(run)
    assert plot is not None
    assert [line.name for line in plot.lines] == ["base", "tuned"]
    assert all(len(line.markers) == 4 for line in plot.lines)
    assert [(row.label, row.count, row.weight) for row in size_rows(run)][1] == ("Sports", 90, 0.3)
    page = write_report(run.path).read_text()
    assert "Weight of each" in page
    assert ">0.300<" in page


def test_equal_classes_need_no_plot_and_unknown_ones_no_table(tmp_path: Path) -> None:
    assert size_plot(with_classes(tmp_path / "equal", [9] * 4)) is None
    run = read_run_folder(make_experiment(tmp_path / "unknown")[0])
    assert size_rows(run) == []
    assert [name for name, _ in baselines(run)] == ["One of 4 by chance"]


@pytest.mark.parametrize("classes", [3, 30])
def test_classes_are_followed_through_training_and_their_mean_where_they_are_many(
    tmp_path: Path, classes: int
) -> None:
    folder = make_experiment(tmp_path)[0]
    event = {"event": "evaluation", "time": "", "stage": "adapt", "best": False}
    with (folder / "log.jsonl").open("a") as log:
        for step in (4, 8):
            metrics = {f"recall/c{number}": number / 100 for number in range(classes)}
            log.write(json.dumps(event | {"step": step, "metrics": metrics}) + "\n")
    plot = class_curves(read_run_folder(folder))
    assert plot is not None
    named = [line.name for line in plot.lines if line.name.startswith("c")]
    assert len(named) == classes
    assert (plot.lines[-1].name == "mean of classes") == (classes == 30)
