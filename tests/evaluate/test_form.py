from __future__ import annotations

from dataclasses import replace

import pytest

from tests.evaluate.made import row
from tunesmith.evaluate.form import form_and_content


def test_gains_of_form_and_of_content_add_up_to_the_change() -> None:
    # Of ten records the base could not be read on four, of which the tuned model answers three rightly; of the six that
    # both answered, two became right and one became wrong.
    first = [row(number, 0, None if number < 4 else 1 if number < 7 else 0) for number in range(10)]
    second = [row(number, 0, {3: 1, 6: 1, 9: 1}.get(number, 0)) for number in range(10)]
    found = form_and_content(first, second, "accuracy")
    assert found is not None
    assert (found.mark, found.now_read, found.now_unread) == ("correct", 4, 0)
    assert found.form == pytest.approx(0.3)
    assert found.content == pytest.approx(0.1)
    assert found.form_share == pytest.approx(0.75)


def test_answers_that_can_no_longer_be_read_are_a_loss_of_form() -> None:
    first, second = [row(number, 0, 0) for number in range(4)], [row(number, 0, None) for number in range(4)]
    found = form_and_content(first, second, "accuracy")
    assert found is not None
    assert (found.form, found.content, found.now_unread) == (-1.0, 0.0, 4)


def test_the_primary_metrics_own_mark_is_divided_where_rows_have_it() -> None:
    first = [replace(row(0, 0, None), marks={"iou": 0.0, "correct": 0.0})]
    second = [replace(row(0, 0, 0), marks={"iou": 0.4, "correct": 0.0})]
    found = form_and_content(first, second, "iou")
    assert found is not None
    assert (found.mark, found.form) == ("iou", 0.4)


def test_there_is_nothing_to_divide_without_a_mark() -> None:
    assert form_and_content([], [], "accuracy") is None
    assert form_and_content([replace(row(0, 0, 0), marks={"nats": 1.0})], [row(0, 0, 0)], "loss") is None
