from __future__ import annotations

import numpy as np
import pytest

from tests.metrics.made import agree, repeated
from tests.metrics.made_boxes import LABELS, Pictured, coco, equal, found, least_lucky, pictures
from tunesmith.images.boxes import Box
from tunesmith.metrics.ap import ap


@pytest.mark.parametrize("labels", [LABELS[:1], LABELS])
def test_it_is_what_pycocotools_gives_where_the_worst_boxes_come_first(labels: tuple[str, ...]) -> None:
    made = pictures(labels=labels)
    outcomes = found(made, labels if len(labels) > 1 else ())
    value, _ = coco(made, least_lucky)
    assert 0.2 < value < 0.8
    assert ap(outcomes, np.ones(len(made))) == {"ap": pytest.approx(value)}


def test_it_is_just_below_what_pycocotools_gives_for_equal_confidence_in_any_order() -> None:
    made = pictures(rows=400)
    value = ap(found(made), np.ones(400))["ap"]
    chance = np.random.default_rng(0)
    orders = [coco([made[index] for index in chance.permutation(400)], equal)[0] for _ in range(3)]
    assert len(set(orders)) == 3
    assert all(value <= order < value + 0.02 for order in orders)


def test_a_resample_is_the_same_as_its_pictures_each_as_often_as_drawn() -> None:
    made = pictures(labels=LABELS)
    drawn = np.random.default_rng(3).poisson(1.0, len(made))
    twice = [picture for picture, count in zip(made, drawn, strict=True) for _ in range(count)]
    value = ap(found(made, LABELS), drawn.astype(float))
    assert value == {"ap": pytest.approx(coco(twice, least_lucky)[0])}


def test_the_order_of_the_pictures_does_not_matter() -> None:
    made = pictures()
    outcomes, turned = found(made), found(made[::-1])
    agree(ap, outcomes, lambda weights: ap(turned, weights[::-1]))


def test_a_label_that_is_nowhere_true_does_not_count() -> None:
    made = pictures(labels=LABELS[:2])
    fox = Box("fox", (0.0, 0.0, 0.1, 0.1))
    with_a_fox = [Pictured((*made[0].said, fox), made[0].true), *made[1:]]
    weights = np.ones(len(made))
    assert ap(found(with_a_fox, LABELS), weights) == ap(found(made, LABELS), weights)


def test_pictures_without_anything_to_find_have_none() -> None:
    outcomes = found([Pictured(one.said, ()) for one in pictures(rows=20)])
    assert np.isnan(ap(outcomes, np.ones(20))["ap"])
    assert np.isnan(ap(repeated(outcomes, np.zeros(20)), np.ones(0))["ap"])
