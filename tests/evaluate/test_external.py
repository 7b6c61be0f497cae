from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import accuracy_score, f1_score, log_loss

from tunesmith import compare_predictions, score_predictions
from tunesmith.errors import DataError, ExperimentError

LABELS = ["World", "Sports", "Business"]
TASK = {"kind": "classify", "labels": LABELS, "prompt": "{text}"}


def _records(number: int, size: int = 1) -> list[dict[str, Any]]:
    return [
        {"id": f"r{index}", "text": f"text {index}", "label": LABELS[index % 3], "person": index // size}
        for index in range(number)
    ]


def _answers(records: list[dict[str, Any]], right: float, seed: int) -> dict[str, str]:
    chance = np.random.default_rng(seed)
    return {
        one["id"]: one["label"] if chance.random() < right else LABELS[int(chance.integers(3))]
        for one in records
    }


def test_scores_are_those_of_scikit_learn() -> None:
    records = _records(200)
    answers = _answers(records, 0.6, 1)
    found = score_predictions(TASK, records, answers).to_json()
    truth, said = [one["label"] for one in records], [answers[one["id"]] for one in records]
    assert found["metrics"]["accuracy"]["value"] == pytest.approx(accuracy_score(truth, said))
    assert found["metrics"]["f1_macro"]["value"] == pytest.approx(f1_score(truth, said, average="macro"))
    f1 = dict(zip(LABELS, f1_score(truth, said, average=None, labels=LABELS), strict=True))
    assert {name: one["value"] for name, one in found["classes"].items()} == pytest.approx(f1)
    low, high = found["metrics"]["accuracy"]["interval"]
    assert low < found["metrics"]["accuracy"]["value"] < high


def test_probabilities_alone_answer_with_the_likeliest_class() -> None:
    records = _records(60)
    shares = np.random.default_rng(1).dirichlet([1, 1, 1], 60)
    given = {
        one["id"]: {"probabilities": dict(zip(LABELS, map(float, share), strict=True))}
        for one, share in zip(records, shares, strict=True)
    }
    found = score_predictions(TASK, records, given).to_json()["metrics"]
    truth = [index % 3 for index in range(60)]
    assert found["accuracy"]["value"] == pytest.approx(accuracy_score(truth, shares.argmax(1)))
    assert found["log_loss"]["value"] == pytest.approx(log_loss(truth, shares))


def test_a_clear_gain_is_better_and_a_fall_of_one_class_is_worse_by_name() -> None:
    records = _records(300)
    base, tuned = _answers(records, 0.6, 1), _answers(records, 0.95, 2)
    found = compare_predictions(TASK, records, base, tuned).to_json()
    assert found["metrics"]["accuracy"]["verdict"] == "better"
    assert found["worse"] == []
    assert found["metrics"]["accuracy"].keys() >= {
        "base", "base_interval", "tuned", "tuned_interval", "change", "interval", "p", "verdict",
    }  # fmt: skip
    back = compare_predictions(TASK, records, tuned, base).to_json()
    assert set(back["worse"]) >= {"accuracy", *LABELS}


def test_units_are_counted_by_the_field_that_is_named() -> None:
    records = _records(300, size=10)
    found = compare_predictions(
        TASK, records, _answers(records, 0.6, 1), _answers(records, 0.6, 2), unit="person"
    ).to_json()
    assert (found["records"], found["units"]) == (300, 30)
    with pytest.raises(DataError, match=r"evaluate\.unit.*patient"):
        score_predictions(TASK, records, _answers(records, 0.6, 1), unit="patient")


def test_groups_are_given_by_field_and_value() -> None:
    records = [{**one, "half": index % 2} for index, one in enumerate(_records(200))]
    found = compare_predictions(
        TASK, records, _answers(records, 0.5, 1), _answers(records, 0.95, 2), by=["half"]
    ).to_json()
    assert {name: one["verdict"] for name, one in found["groups"].items()} == {
        "half=0": "better",
        "half=1": "better",
    }


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda given: given.pop("r7"), r"1 record has no prediction, of 30: r7\. Add them"),
        (lambda given: given.update(x="World"), "1 prediction is of no record that is scored: x"),
        (lambda given: given.update(r0={"text": "World"}), "r0: has no 'answer' \\(it has text\\)"),
        (lambda given: given.update(r0=7), "r0: is 7; it must be a text"),
        (
            lambda given: given.update(r0={"reading": "Wrld"}),
            "r0: 'reading' is 'Wrld'; it must be one of the labels",
        ),
        (
            lambda given: given.update(r0={"probabilities": dict.fromkeys(LABELS, 1 / 3)}),
            "1 of 30 predictions have probabilities",
        ),
    ],
)
def test_predictions_that_do_not_fit_are_named(change: Any, told: str) -> None:
    records = _records(30)
    given: dict[str, Any] = dict(_answers(records, 0.5, 1))
    change(given)
    with pytest.raises(DataError, match=told):
        score_predictions(TASK, records, given)


@pytest.mark.parametrize(
    ("shares", "told"),
    [
        ({"World": 0.5, "Sports": 0.5}, "lacks Business"),
        ({"World": 0.5, "Sports": 0.25, "Business": 0.25, "Art": 0.0}, "has 'Art', which is no label"),
        ({"World": 0.5, "Sports": 0.5, "Business": 0.5}, "add up to 1.5"),
        ({"World": -0.5, "Sports": 0.5, "Business": 1.0}, "no number from 0 to 1"),
        ({"World": float("nan"), "Sports": 0.5, "Business": 0.5}, "no number from 0 to 1"),
    ],
)
def test_probabilities_that_are_none_are_refused(shares: Mapping[str, float], told: str) -> None:
    records = _records(3)
    given = {one["id"]: {"probabilities": shares} for one in records}
    with pytest.raises(DataError, match=told):
        score_predictions(TASK, records, given)


def test_records_without_or_with_equal_ids_are_refused() -> None:
    with pytest.raises(DataError, match="record 1 has no 'id'"):
        score_predictions(TASK, [{"text": "a", "label": "World"}], {})
    with pytest.raises(DataError, match="id 'a' occurs 2 times"):
        score_predictions(TASK, [{"id": "a", "text": "x", "label": "World"}] * 2, {"a": "World"})
    with pytest.raises(DataError, match="there are none"):
        score_predictions(TASK, [], {})


def test_a_task_that_cannot_be_is_refused_as_in_an_experiment_file() -> None:
    with pytest.raises(ExperimentError, match=r"task\.kind.*Did you mean 'classify'"):
        score_predictions({**TASK, "kind": "clasify"}, _records(3), {})


def test_open_answers_are_read_and_unread_ones_score_nothing() -> None:
    task = {"kind": "answer", "prompt": "{question}"}
    records = [
        {"id": 1, "question": "Capital of France?", "answer": "Paris"},
        {"id": 2, "question": "Of Spain?", "answer": "Madrid"},
    ]
    found = score_predictions(task, records, {1: "Paris", 2: ""}).to_json()
    assert found["unread"] == 1
    assert found["metrics"]["exact_match"]["value"] == 0.5


def test_boxes_are_taken_in_pixels_or_read_in_the_answer(tmp_path: Path) -> None:
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (80, 100, 3), np.uint8)).save(
        tmp_path / "a.png"
    )
    task = {
        "kind": "detect",
        "picture": "image",
        "boxes": "boxes",
        "format": "xyxy",
        "unit": "pixels",
        "label": "cat",
    }
    records = [
        {"id": name, "image": str(tmp_path / "a.png"), "boxes": [[10, 20, 50, 60]]}
        for name in ("a", "b", "c")
    ]
    given = {
        "a": {"reading": [{"label": "cat", "pixels": [10, 20, 50, 60]}]},
        "b": '[{"bbox_2d": [10, 20, 50, 60], "label": "cat"}]',
        "c": {"answer": "", "unread": "is empty"},
    }
    found = score_predictions(task, records, given)
    assert [row.marks["iou"] for row in found.rows] == pytest.approx([1, 1, 0])
    assert found.to_json()["unread"] == 1
    with pytest.raises(DataError, match="a: 'reading' holds"):
        score_predictions(task, records, {**given, "a": {"reading": [{"label": "cat", "pixels": [1, 2, 3]}]}})
