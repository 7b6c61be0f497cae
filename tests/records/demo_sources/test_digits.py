from __future__ import annotations

import io
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import imagehash
import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError
from scipy.spatial.distance import pdist
from sklearn import datasets
from sklearn.neighbors import KNeighborsClassifier
from sklearn.utils import Bunch

from tunesmith.records.demo_sources.digits import QUESTIONS, Digits
from tunesmith.records.record import Record

Fields = dict[str, Any]


def made(**settings: Any) -> list[Record]:
    rows = list(Digits(**settings).rows(Path()))
    assert all(isinstance(row, Record) for row in rows)
    return [row for row in rows if isinstance(row, Record)]


def fields_of(**settings: Any) -> list[Fields]:
    return [dict(record.fields) for record in made(**settings)]


def pixels(fields: Fields) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(fields["image"]["bytes"])))


def inside(shape: tuple[int, ...], boxes: list[list[int]]) -> np.ndarray:
    mask = np.zeros(shape[:2], bool)
    for left, top, right, bottom in boxes:
        mask[top:bottom, left:right] = True
    return mask


@pytest.mark.parametrize("invert", [False, True])
@pytest.mark.parametrize("colours", ["grey", "colour"])
def test_boxes_are_tight_around_all_ink(invert: bool, colours: str) -> None:
    for fields in fields_of(pictures=40, paper="plain", invert=invert, colours=colours, per_picture=[1, 6]):
        image = pixels(fields).reshape(224, 224, -1).astype(int)
        covered = inside(image.shape, fields["boxes"])
        paper = image[~covered]
        assert (paper == paper[0]).all()
        ink = (image != paper[0]).any(-1)
        for left, top, right, bottom in fields["boxes"]:
            cut = ink[top:bottom, left:right]
            assert all(edge.any() for edge in (cut[0], cut[-1], cut[:, 0], cut[:, -1]))


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"per_picture": [12, 12]},
        {"per_picture": [9, 9], "size": [64, 96]},
        {"per_picture": [1, 5], "canvas": [128, 100], "largest_canvas": [320, 480], "size": [20, 100]},
    ],
)
def test_digits_lie_on_the_canvas_and_none_touches_another_however_many(settings: Fields) -> None:
    fewest, most = settings.get("per_picture", (1, 4))
    smallest, largest = settings.get("size", (40, 96))
    counts = Counter()
    for fields in fields_of(pictures=60, **settings):
        boxes = fields["boxes"]
        height, width = pixels(fields).shape
        assert inside((height, width), [[x0 - 1, y0 - 1, x1, y1] for x0, y0, x1, y1 in boxes]).sum() <= sum(
            (x1 - x0 + 1) * (y1 - y0 + 1) for x0, y0, x1, y1 in boxes
        )
        area = sum((x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in boxes)
        assert inside((height, width), boxes).sum() == area
        assert all(0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height for x0, y0, x1, y1 in boxes)
        sizes = [max(x1 - x0, y1 - y0) for x0, y0, x1, y1 in boxes]
        assert smallest - 3 <= min(sizes)
        assert max(sizes) <= largest
        assert len(boxes) == len(fields["digits"]) == len(fields["labels"])
        counts[len(boxes)] += 1
    assert sorted(counts) == list(range(fewest, most + 1))


def test_a_classifier_of_the_original_digits_reads_them_in_their_boxes() -> None:
    data = datasets.load_digits()
    reader = KNeighborsClassifier(3).fit(data.data, data.target)
    cells, values = [], []
    for fields in fields_of(pictures=100, paper="plain", invert=True, samples=[0.5, 1.0]):
        for value, (left, top, right, bottom) in zip(fields["digits"], fields["boxes"], strict=True):
            size = max(right - left, bottom - top)
            square = Image.new("L", (size, size))
            ink = Image.fromarray(pixels(fields)[top:bottom, left:right])
            square.paste(ink, ((size - ink.width) // 2, (size - ink.height) // 2))
            cells.append(np.asarray(square.resize((8, 8), Image.Resampling.BOX)).ravel() / 255 * 16)
            values.append(value)
    assert reader.score(np.array(cells), values) > 0.95
    assert sorted(set(values)) == list(range(10))


def test_the_same_settings_give_the_same_bytes_and_another_seed_other_ones() -> None:
    first, again, more, other = (
        made(pictures=5), made(pictures=5), made(pictures=9), made(pictures=5, seed=18)
    )  # fmt: skip
    assert first == again == more[:5]
    assert [record.id for record in first] == [f"digits/17:{number}" for number in range(1, 6)]
    assert [record.id for record in other] == [f"digits/18:{number}" for number in range(1, 6)]
    images = {record.fields["image"]["bytes"] for record in first + other}
    assert len(images) == 10


def test_sources_of_different_shares_have_no_sample_in_common(monkeypatch: pytest.MonkeyPatch) -> None:
    """Samples of the first 80 % are made tall, those of the rest wide."""
    tall, wide = np.zeros((8, 8)), np.zeros((8, 8))
    tall[1:7, 3:5], wide[3:5, 1:7] = 16, 16
    bunch = Bunch(images=np.array([tall] * 80 + [wide] * 20), target=np.arange(100) % 10)
    monkeypatch.setattr(datasets, "load_digits", lambda: bunch)
    for samples, is_tall in (([0.0, 0.8], True), ([0.8, 1.0], False)):
        boxes = [box for fields in fields_of(pictures=50, samples=samples) for box in fields["boxes"]]
        assert all((bottom - top > right - left) == is_tall for left, top, right, bottom in boxes)


def test_detect_asks_for_one_digit_and_knows_all_its_boxes() -> None:
    all_fields = fields_of(pictures=400, per_picture=[2, 5], absent=0.2, digits=[1, 2, 7])
    missing = 0
    for fields in all_fields:
        of_target = zip(fields["labels"], fields["boxes"], strict=True)
        boxes = [box for label, box in of_target if label == fields["target"]]
        assert fields["objects"] == {"bbox": boxes, "category": [fields["target"]] * len(boxes)}
        missing += not boxes
    has_missing = sum(len(set(fields["digits"])) < 3 for fields in all_fields)
    assert missing == pytest.approx(0.2 * has_missing, abs=30)
    assert {fields["target"] for fields in all_fields} == {"1", "2", "7"}
    assert all(fields["objects"]["bbox"] for fields in fields_of(pictures=50, absent=0.0))


def test_classify_shows_one_digit_and_names_it() -> None:
    all_fields = fields_of(pictures=30, questions="classify", digits=[3, 8])
    assert {fields["label"] for fields in all_fields} == {"3", "8"}
    assert all(fields["labels"] == [fields["label"]] for fields in all_fields)


def right_answer(fields: Fields) -> str:
    """Worked out anew from digits and boxes."""
    digits = fields["digits"]
    middles = [x0 + x1 for x0, _, x1, _ in fields["boxes"]]
    sizes = [max(x1 - x0, y1 - y0) for x0, y0, x1, y1 in fields["boxes"]]
    named = [int(word) for word in fields["question"].rstrip("?").split() if word.isdigit()]
    match fields["question_type"]:
        case "yes-no":
            return "Yes" if named[0] in digits else "No"
        case "how-many":
            return str(len(digits))
        case "which":
            return ", ".join(str(digit) for digit in range(10) if digit in digits)
        case "how-many-of":
            return str(digits.count(named[0]))
        case "leftmost":
            return str(digits[int(np.argmin(middles))])
        case "left-of":
            first, second = (middles[digits.index(digit)] for digit in named)
            return "Yes" if first < second else "No"
        case "largest":
            return str(digits[int(np.argmax(sizes))])
        case "sum":
            return str(sum(digits))
    raise AssertionError(fields["question_type"])


def test_every_answer_of_vqa_follows_from_digits_and_boxes() -> None:
    answers, stages = defaultdict(list), {}
    for fields in fields_of(pictures=150, questions="vqa"):
        assert fields["answer"] == right_answer(fields), fields["question"]
        answers[fields["question_type"]].append(fields["answer"])
        stages[fields["question_type"]] = fields["stage"]
    assert stages == {kind: stage for kind, (stage, _) in QUESTIONS.items()}
    assert sorted(set(stages.values())) == [1, 2, 3]
    for kind in ("yes-no", "left-of"):
        assert 0.35 < answers[kind].count("Yes") / len(answers[kind]) < 0.65


def test_questions_of_one_picture_share_its_number_and_bytes() -> None:
    images = defaultdict(set)
    for fields in fields_of(pictures=20, questions="vqa"):
        images[fields["number"]].add(fields["image"]["bytes"])
    assert list(images) == list(range(1, 21))
    assert all(len(files) == 1 for files in images.values())


@pytest.mark.parametrize("settings", [{"questions": "classify"}, {"colours": "colour"}, {"invert": True}])
def test_different_pictures_are_not_taken_for_the_same_by_their_look(settings: Fields) -> None:
    images = [
        Image.open(io.BytesIO(fields["image"]["bytes"])) for fields in fields_of(pictures=150, **settings)
    ]
    looks = np.array([imagehash.phash(image).hash.ravel() for image in images])
    assert pdist(looks, "hamming").min() * 64 > 4


def test_columns_can_be_named_otherwise() -> None:
    fields = fields_of(pictures=1, columns={"photo": "image"})[0]
    assert "image" not in fields
    assert fields["photo"]["bytes"].startswith(b"\x89PNG")


def test_any_change_of_settings_is_seen_in_the_fingerprint() -> None:
    settings = [{}, {"seed": 3}, {"canvas": [64, 96], "size": [8, 16]}, {"samples": [0, 0.5]}]
    assert len({Digits(**each).fingerprint(Path()) for each in settings}) == len(settings)
    assert Digits().fingerprint(Path()) == Digits().fingerprint(Path("elsewhere"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"per_picture": [4, 1]}, "per_picture\n.*the first must not be more than the second"),
        ({"digits": [1, 2, 1]}, "digits\n.*names one of them twice"),
        (
            {"questions": "classify", "per_picture": [1, 4]},
            "per_picture: questions 'classify' shows one digit",
        ),
        ({"canvas": [64, 200]}, r"size: a digit of 96 pixels does not fit on canvas \[64, 200\]"),
        (
            {"per_picture": [1, 26]},
            r"per_picture: got up to 26, but canvas .* has room for 25 digits of 40 pixels",
        ),
        ({"largest_canvas": [300, 100]}, r"largest_canvas: must not be smaller than canvas, \[224, 224\]"),
    ],
)
def test_what_cannot_be_drawn_is_refused_before_anything_is(settings: Fields, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Digits(**settings)
