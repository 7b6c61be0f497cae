from __future__ import annotations

from typing import Any

import pytest

from tunesmith.errors import DataError
from tunesmith.records.record import Record
from tunesmith.tasks import Answer, Unread
from tunesmith.tasks._sets import marks_of_set
from tunesmith.tasks.classify import Classify

TASK = Classify(
    labels=["World", "Sports", "Business"], prompt="{text}", answer={"kind": "head", "multi": True}
)  # type: ignore[arg-type]


def asked(label: Any) -> Any:
    return TASK.conversation(Record("a:1", {"text": "x", "label": label}))


def test_a_record_may_have_any_number_of_classes_each_once_in_the_order_of_the_labels() -> None:
    assert asked(["Business", "World", "World"]).labels == (0, 2)
    assert asked(["Business", "World"]).answer == '["World", "Business"]'
    assert asked([]).labels == () == asked([]).classes
    assert asked([]).label is None
    with pytest.raises(
        DataError, match=r"a:1: field 'label' is 'World'; with several labels a record \(multi\) it"
    ):
        asked("World")
    with pytest.raises(DataError, match=r"'Sport', none of task\.labels .* Did you mean 'Sports'"):
        asked(["World", "Sport"])


@pytest.mark.parametrize(
    ("text", "named"),
    [('["World", "Sports"]', ["World", "Sports"]), ("Sports, World.", ["World", "Sports"]), ("[]", []),
     ("- Sports\n- World", ["World", "Sports"]), ("Business", ["Business"]), ("World and Sports", ["World", "Sports"])],
)  # fmt: skip
def test_several_classes_are_read_from_a_list_in_json_or_words(text: str, named: list[str]) -> None:
    assert TASK.read(Answer(text)) == named


@pytest.mark.parametrize("text", ["World, not Sports", "World, Politics", "", "World or Sports"])
def test_a_list_with_what_is_no_class_is_unread(text: str) -> None:
    assert isinstance(TASK.read(Answer(text)), Unread)


@pytest.mark.parametrize(
    ("text", "reading"),
    [
        ('["Sports", "World"]', ["World", "Sports"]),
        ("[]", []),
        ("World", ["World"]),
        ("", Unread("is empty")),
        ('["Politics"]', Unread("is none of the labels")),
    ],
)
def test_labels_are_read_from_a_list_or_alone(text: str, reading: Any) -> None:
    assert TASK.read(Answer(text)) == reading


def test_marks_count_right_wrong_and_missed_classes_and_only_the_exact_set_is_correct() -> None:
    conversation = asked(["World", "Sports"])
    assert TASK.mark(conversation, Answer(""), ["Sports", "Business"]) == {
        "correct": 0.0, "hits": 1.0, "false_alarms": 1.0, "misses": 1.0,
        "hits/Sports": 1.0, "false_alarms/Business": 1.0, "misses/World": 1.0,
    }  # fmt: skip
    assert TASK.mark(conversation, Answer(""), ["World", "Sports"])["correct"] == 1.0
    assert marks_of_set([], None)["correct"] == 0.0
    assert marks_of_set([], [])["correct"] == 1.0
    assert set(TASK.given_marks) <= set(marks_of_set([], []))


def test_a_head_of_one_class_reads_its_label_as_text() -> None:
    one = Classify(labels=["World", "Sports"], prompt="{text}", answer="head")  # type: ignore[arg-type]
    assert one.read(Answer("Sports.")) == "Sports"
    assert isinstance(one.read(Answer("Politics")), Unread)
