from __future__ import annotations

from typing import Any

import pytest

from tunesmith.data.record import Record
from tunesmith.errors import DataError
from tunesmith.tasks import Answer as ModelAnswer
from tunesmith.tasks import Unread
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
    best = {name: marks[name] for name in ("correct", "token_f1", "rouge_l")}
    assert best == pytest.approx({"correct": 0, "token_f1": 0.8, "rouge_l": 0.8})
    assert (marks["bleu_length"], marks["bleu_reference_length"], marks["bleu_matches_1"]) == (3, 2, 2)


def test_with_vqas_rules_a_number_word_and_a_lost_apostrophe_do_not_matter() -> None:
    conversation = TASK.conversation(record("2 dogs don't"))
    said = "two dogs dont."
    assert TASK.mark(conversation, ModelAnswer(said), said)["correct"] == 0
    vqa = Answer(prompt="{question}", normalise="vqa")
    marks = vqa.mark(conversation, ModelAnswer(said), said)
    assert (marks["correct"], marks["token_f1"]) == (1, 1)


def test_an_unread_answer_has_no_words_but_its_reference_counts_against_it() -> None:
    marks = TASK.mark(TASK.conversation(record("in New York")), ModelAnswer(""), Unread("is empty"))
    assert marks.pop("bleu_reference_length") == 3
    assert set(marks.values()) == {0.0}


@pytest.mark.parametrize(
    ("answer", "kind"), [("Yes.", "yes/no"), (["no", "none"], "yes/no"), ("yes, two", "open")]
)
def test_yes_no_questions_are_told_from_open_ones_by_the_reference(answer: Any, kind: str) -> None:
    assert TASK.kinds(TASK.conversation(record(answer))) == {"answer type": kind}


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
