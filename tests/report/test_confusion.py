"""Confusion of many classes: what is confused stands side by side, and every class can be found."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.report.chromium import content_width, needs_chromium
from tests.report.run_folder_maker import make_experiment
from tests.report.test_page import Page
from tunesmith.evaluate.scores import Confusion
from tunesmith.report import summary
from tunesmith.report.confusion import (
    DENSE_FROM,
    MAX_CLASSES,
    MAX_MAPPED,
    confusion_map,
    maps,
    matrices,
    matrix,
    shown_classes,
    side_by_side,
)
from tunesmith.report.page import write_report
from tunesmith.report.run_folder import read_run_folder


def confusion_of(counts: np.ndarray) -> Confusion:
    """Counts of classes c0, c1, ...; the last column is unread."""
    labels = tuple(f"c{index}" for index in range(len(counts)))
    return Confusion(labels, tuple(tuple(map(int, row)) for row in counts))


def in_families(families: int, members: int, seed: int = 0) -> tuple[Confusion, np.ndarray]:
    """Classes that are mixed up within their family alone, and the family of each."""
    chance = np.random.default_rng(seed)
    family = chance.permutation(np.repeat(np.arange(families), members))
    counts = np.where(family[:, None] == family, chance.integers(1, 9, (len(family),) * 2), 0)
    np.fill_diagonal(counts, 40)
    return confusion_of(np.column_stack([counts, np.zeros(len(family), int)])), family


def test_a_table_of_many_classes_shows_those_with_the_most_mistakes() -> None:
    size = MAX_CLASSES + 5
    counts = np.column_stack([90 * np.eye(size, dtype=int), np.arange(size) >= 5])
    confusion = confusion_of(counts)
    drawn = matrix("Base", confusion, shown_classes(confusion, MAX_CLASSES))
    assert drawn.labels == tuple(f"c{index}" for index in range(5, size))
    assert drawn.left_out == 5
    assert drawn.is_dense
    assert drawn.rows[0][0][0] == 90
    assert drawn.rows[0][-1][0] == 1


def test_few_classes_keep_the_order_of_the_experiment() -> None:
    confusion, _ = in_families(DENSE_FROM // 3, 3)
    assert shown_classes(confusion, MAX_CLASSES) == list(range(DENSE_FROM))


@pytest.mark.parametrize(("families", "members"), [(10, 3), (20, 10)])
def test_classes_that_are_taken_for_one_another_stand_side_by_side(families: int, members: int) -> None:
    confusion, family = in_families(families, members)
    order = shown_classes(confusion, MAX_MAPPED)
    assert sorted(order) == list(range(families * members))
    assert int((np.diff(family[order]) != 0).sum()) == families - 1


def test_the_most_confused_ends_of_two_groups_meet() -> None:
    # 0 and 1 are confused most, then 2 and 3; and of all that is between those groups, 0 with 3.
    shares = np.zeros((4, 4))
    shares[0, 1], shares[2, 3], shares[3, 0] = 0.4, 0.3, 0.1
    assert side_by_side(shares) == [1, 0, 3, 2]


def test_a_map_names_both_classes_of_its_most_frequent_mistakes_and_what_became_of_each_class() -> None:
    counts = np.column_stack([20 * np.eye(50, dtype=int), np.zeros(50, int)])
    counts[7, 31], counts[7, 50], counts[8, 9] = 12, 3, 1
    confusion = confusion_of(counts)
    drawn = confusion_map("Tuned", confusion, shown_classes(confusion, MAX_MAPPED))
    place = drawn.labels.index
    assert abs(place("c7") - place("c31")) == 1
    assert drawn.spots[0] == (place("c31"), place("c7"), "c7, answered c31: 12 of 35")
    assert (50, place("c7"), "c7, answered unread: 3 of 35") in drawn.spots
    assert drawn.rows[place("c7")] == "c7: 20 of 35 right; answered c31 12, unread 3"
    assert drawn.rows[place("c40")] == "c40: 20 of 20 right"
    cells = sum(path.count("h1") for _, _, path in drawn.cells)
    assert cells == 50 + 3


def test_two_hundred_classes_have_a_map_and_a_list_of_what_is_confused_most(tmp_path: Path) -> None:
    labels = [f"class {number}" for number in range(200)]
    [folder] = make_experiment(tmp_path, labels=labels, records=1500)
    run = read_run_folder(folder)
    assert [one.title for one in maps(run)] == ["Tuned", "Base"]
    assert maps(run)[0].labels == maps(run)[1].labels
    assert [len(one.labels) for one in matrices(run)] == [MAX_CLASSES] * 2
    assert matrices(run)[0].labels == matrices(run)[1].labels
    page = Page(write_report(folder))
    titles = page.text("title")
    several = [found for found in summary.common_mistakes(run, 15) if found.count > 1]
    assert several
    for found in several:
        predicted = "unread" if found.predicted == "an unread answer" else found.predicted
        assert f"{found.true}, answered {predicted}: {found.count} of" in titles
    names = [text for tag, text in page.texts if tag == "text"]
    assert all(names.count(label) == 2 for label in labels)
    assert len(page.source) < 700_000


def test_a_cell_of_a_table_names_both_classes(tmp_path: Path) -> None:
    [folder] = make_experiment(tmp_path, records=100)
    run = read_run_folder(folder)
    assert maps(run) == []
    found = summary.common_mistakes(run, 1)[0]
    predicted = "unread" if found.predicted == "an unread answer" else found.predicted
    titles = [attributes.get("title") for attributes in Page(write_report(folder)).all("td")]
    assert f"{found.true}, answered {predicted}: {found.count}" in titles


@pytest.mark.slow
@needs_chromium
@pytest.mark.parametrize("width", [400, 1200])
def test_two_hundred_classes_need_no_scrolling_sideways(tmp_path: Path, width: int) -> None:
    labels = tuple(f"A Rather Long Class Name {number}" for number in range(200))
    [folder] = make_experiment(tmp_path, labels=labels, records=1500)
    page = write_report(folder)
    page.write_text(page.read_text().replace("<details>", "<details open>"))
    assert content_width(page, tmp_path, width) == width
