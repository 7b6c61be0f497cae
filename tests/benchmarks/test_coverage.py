"""A small version of `python -m benchmarks.coverage`: the claims hold about as often as they say."""

from __future__ import annotations

import numpy as np
import pytest
from benchmarks.coverage import changes, claims, values
from benchmarks.coverage.__main__ import markdown, outside
from benchmarks.coverage.cells import Cell, cells, merged, run_part
from benchmarks.coverage.truths import Classes, correct_in_groups


@pytest.mark.parametrize("number", [20, 100])
@pytest.mark.parametrize("truth", [0.02, 0.3, 0.95])
def test_a_share_is_covered_as_often_as_it_says(number: int, truth: float) -> None:
    row = values.share(number, truth)
    assert 0.93 <= row["covered nearby"] <= 0.97
    assert row["covered"] >= row["old"] - 0.02


@pytest.mark.parametrize(("groups", "size", "least"), [(10, 25, 0.90), (25, 10, 0.93), (100, 10, 0.93)])
@pytest.mark.parametrize("correlation", [0.1, 0.3])
def test_a_share_in_groups_is_too(groups: int, size: int, least: float, correlation: float) -> None:
    row = values.share_in_groups(groups, size, correlation, 0.75, sets=2000, seed=1)
    assert least - 0.01 <= row["covered"] <= 0.985
    assert row["old"] < row["covered"]


def test_a_mean_with_a_lump_is_too() -> None:
    row = values.mean(50, 0.9, 0.0, sets=100, seed=1)
    assert row["covered"] >= 0.89
    assert row["without width"] == 0


def test_nothing_is_called_better_or_worse_too_often_and_a_change_is_found() -> None:
    none = claims.change_in_groups(25, 10, (0.75, 0.75), 0.3, sets=600, seed=1)
    assert none["better or worse"] <= 0.07
    assert none["the old rule"] > 0.12
    assert none["covered"] >= 0.92
    gain = claims.change_of_records(250, (0.7, 0.85), 0.6, sets=300, seed=1)
    assert gain["better or worse"] > 0.9


def test_a_change_of_a_mean_is_covered_and_rarely_called_one_where_there_is_none() -> None:
    iou = (0.3, 0.0, 8.0, 2.0)
    row = changes.means("iou", iou, iou, 20, 1, 0.0, sets=300, seed=1)
    assert 0.92 <= row["covered"] <= 0.995
    assert row["better or worse"] <= 0.08


@pytest.mark.parametrize("metric", ["bleu", "ap"])
def test_so_is_a_change_of_what_is_no_mean(metric: str) -> None:
    row = changes.corpus(metric, 20, 0.0, sets=60, seed=1)
    assert row["covered"] >= 0.88
    assert row["better or worse"] <= 0.12


def test_so_are_changes_of_classes_and_of_the_area_under_the_curve() -> None:
    rows = {row["metric"]: row for row in changes.classes(4, 60, 0.8, 0.0, sets=25, seed=1)}
    assert {"f1_macro", "f1/c0", "precision/c3", "recall/c0"} <= rows.keys()
    area = changes.area(40, 0.4, (1.0, 1.0), sets=25, seed=1)
    assert min(area["covered"], *(row["covered"] for row in rows.values())) >= 0.8


def test_parts_of_a_cell_make_the_row_of_the_cell() -> None:
    cell = Cell(
        "Change: share", claims.change_of_records, {"number": 20, "shares": (0.8, 0.8), "kept": 0.6}, 9000
    )
    parts = [run_part((0, part))[1] for part in cell.parts()]
    [row] = merged(parts)
    assert row["data sets"] == 9000
    assert (
        min(part[0]["covered"] for part in parts)
        <= row["covered"]
        <= max(part[0]["covered"] for part in parts)
    )


def test_what_misses_the_goal_is_named() -> None:
    good = {"n": 20, "change": 0.0, "covered": 0.95, "better or worse": 0.05}
    tables = {"Change": [good, {**good, "covered": 0.9}, {**good, "better or worse": 0.07}]}
    assert len(outside(tables)) == 2
    assert outside({"Change": [{**good, "change": 0.1, "better or worse": 0.9}]}) == []


def test_a_family_of_classes_is_named_too_rarely_rather_than_too_often() -> None:
    row = claims.classes(4, 250, 0.8, 0.0, sets=12, seed=1)
    assert row["F1 of classes"] <= 0.25
    assert row["primary"] <= 0.25


def test_samples_have_their_truth() -> None:
    chance = np.random.default_rng(0)
    assert correct_in_groups(chance, 400, 50, 10, 0.9, 0.3).mean() / 10 == pytest.approx(0.9, abs=0.01)
    population = Classes.of(5, 0.8, 1.0, 0)
    truth, answered = population.sample(chance, 50_000)
    for label in range(5):
        assert (answered[truth == label] == label).mean() == pytest.approx(population.recall[label], abs=0.02)


def test_every_table_has_a_title_and_the_same_columns() -> None:
    titles = [cell.table for cell in cells(4000)]
    assert len(set(titles)) >= 10
    text = markdown({"One": [{"n": 20, "covered": 0.951234}, {"n": 50, "covered": float("nan")}]})
    assert "| 20 | 0.951 |" in text
    assert "| 50 |  |" in text
