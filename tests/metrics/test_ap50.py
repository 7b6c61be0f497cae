from __future__ import annotations

import numpy as np
import pytest

from tests.metrics.made_boxes import LABELS, coco, found, least_lucky, pictures
from tunesmith.metrics.ap50 import ap50


@pytest.mark.parametrize("labels", [LABELS[:1], LABELS])
def test_it_is_what_pycocotools_gives_where_the_worst_boxes_come_first(labels: tuple[str, ...]) -> None:
    made = pictures(seed=1, labels=labels)
    outcomes = found(made, labels if len(labels) > 1 else ())
    assert ap50(outcomes, np.ones(len(made))) == {"ap50": pytest.approx(coco(made, least_lucky)[1])}


def test_it_is_about_precision_times_recall() -> None:
    made = pictures(rows=300)
    marks = found(made).marks
    matched = marks["matched_50"].sum()
    precision, recall = matched / marks["predicted"].sum(), matched / marks["objects"].sum()
    value = ap50(found(made), np.ones(300))["ap50"]
    assert value == pytest.approx(precision * recall, abs=0.01)
