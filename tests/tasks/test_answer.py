from __future__ import annotations

from typing import Any

import pytest

from tunesmith.data.record import Record
from tunesmith.errors import DataError
from tunesmith.tasks import Answer as ModelAnswer
from tunesmith.tasks.answer import Answer

TASK = Answer(prompt="{question}")


def record(answer: Any) -> Record:
    return Record("qa.json:4", {"question": "Where?", "answer": answer})


def test_any_accepted_answer_is_right_and_the_first_is_trained() -> None:
    conversation = TASK.conversation(record(["New York City", "NYC"]))
    assert conversation.answer == "New York City"
    answer = ModelAnswer("NYC.")
    assert TASK.mark(conversation, answer, TASK.read(answer))["correct"] == 1


def test_each_mark_is_the_best_over_the_accepted_answers() -> None:
    conversation = TASK.conversation(record(["in the big apple", "New York"]))
    marks = TASK.mark(conversation, ModelAnswer("New York City"), "New York City")
    assert marks == pytest.approx({"correct": 0, "token_f1": 0.8, "rouge_l": 0.8})


def test_numbers_are_answers_too() -> None:
    assert TASK.conversation(record(42)).answer == "42"


@pytest.mark.parametrize("answer", [[], "", ["x", " "]])
def test_a_record_without_an_answer_is_named(answer: Any) -> None:
    with pytest.raises(
        DataError, match=r"^qa\.json:4: field 'answer' is .*; it must be the answer, or a list"
    ):
        TASK.conversation(record(answer))


def test_an_answer_that_was_cut_is_judged_by_what_is_there() -> None:
    assert TASK.read(ModelAnswer("New York and then", ended=False)) == "New York and then"
