"""Pictures with true and predicted boxes, as outcomes and as pycocotools sees them."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from tunesmith.images.boxes import Box
from tunesmith.metrics import Outcomes
from tunesmith.tasks._matching import box_marks, ious

LABELS = ("cat", "dog", "fox")


@dataclass(frozen=True)
class Pictured:
    """One picture with what is in it and what was said to be."""

    said: tuple[Box, ...]
    true: tuple[Box, ...]


def pictures(rows: int = 120, seed: int = 0, labels: Sequence[str] = ("cat",)) -> list[Pictured]:
    """Boxes in cells of a grid, so that a predicted box can be meant for one true box only; some cells have
    only one of both, and some boxes fit better than others."""
    chance = np.random.default_rng(seed)
    made = []
    for _ in range(rows):
        said, true = [], []
        for cell in range(9):
            label, kind = labels[chance.integers(len(labels))], chance.random()
            corner = np.array([cell % 3, cell // 3]) / 3
            low = corner + chance.uniform(0.02, 0.05, 2)
            box = np.concatenate([low, low + chance.uniform(0.1, 0.2, 2)])
            if kind < 0.35:
                true.append(Box(label, tuple(box)))
            if kind < 0.25 or kind > 0.9:
                moved = box + chance.normal(0, chance.choice([0.001, 0.02]), 4)
                moved = np.clip(moved, np.tile(corner, 2), np.tile(corner + 1 / 3, 2))
                said.append(Box(label, tuple(map(float, moved))))
        made.append(Pictured(tuple(said), tuple(true)))
    return made


def found(made: Sequence[Pictured], labels: Sequence[str] = ()) -> Outcomes:
    """The pictures as a metric sees them."""
    rows = [box_marks(one.said, one.true, labels) for one in made]
    names = dict.fromkeys(name for row in rows for name in row)
    marks = {name: np.array([row.get(name, np.nan) for row in rows]) for name in names}
    marks["detected"] = np.array([float(bool(one.said)) if one.true else np.nan for one in made])
    return Outcomes(marks, np.zeros(len(made), bool))


Confidence = Callable[[Box, Pictured], float]


def least_lucky(box: Box, picture: Pictured) -> float:
    """The worse a box is, the surer."""
    others = [other for other in picture.true if other.label == box.label]
    return 2.0 - float(ious([box], others).max(initial=0.0))


def equal(box: Box, picture: Pictured) -> float:
    return 1.0


def coco(made: Sequence[Pictured], confidence: Confidence) -> tuple[float, float]:
    """AP and AP50 of pycocotools."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    truth, said = COCO(), []
    annotations = []
    for image, picture in enumerate(made, 1):
        for box in picture.true:
            area = _rectangle(box)[2] * _rectangle(box)[3]
            annotations.append({
                "id": len(annotations) + 1, "image_id": image, "category_id": _category(box),
                "bbox": _rectangle(box), "area": area, "iscrowd": 0,
            })  # fmt: skip
        said += [
            {
                "image_id": image,
                "category_id": _category(box),
                "bbox": _rectangle(box),
                "score": confidence(box, picture),
            }
            for box in picture.said
        ]
    truth.dataset = {
        "info": {}, "images": [{"id": image} for image in range(1, len(made) + 1)],
        "annotations": annotations, "categories": [{"id": number} for number in range(1, len(LABELS) + 1)],
    }  # fmt: skip
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(said), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return float(evaluation.stats[0]), float(evaluation.stats[1])


def _category(box: Box) -> int:
    return LABELS.index(box.label) + 1


def _rectangle(box: Box) -> list[float]:
    left, top, right, bottom = (1000 * corner for corner in box.corners)
    return [left, top, right - left, bottom - top]
