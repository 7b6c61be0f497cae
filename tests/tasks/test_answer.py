from __future__ import annotations

from typing import Any

import pytest

from tunesmith.errors import DataError
from tunesmith.images.picture import Picture
from tunesmith.records.conversation import Text
from tunesmith.records.record import Record
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


def test_an_answer_that_was_cut_is_not_exact_even_where_what_there_is_of_it_is() -> None:
    conversation = TASK.conversation(record("New York"))
    marks = TASK.mark(conversation, ModelAnswer("New York", ended=False), "New York")
    assert (marks["correct"], marks["token_f1"]) == (0, 1)


def test_with_vqas_rules_a_number_word_and_a_lost_apostrophe_do_not_matter() -> None:
    conversation = TASK.conversation(record("2 dogs don't"))
    said = "two dogs dont."
    assert TASK.mark(conversation, ModelAnswer(said), said)["correct"] == 0
    vqa = Answer(prompt="{question}", normalise="vqa")
    marks = vqa.mark(conversation, ModelAnswer(said), said)
    assert (marks["correct"], marks["token_f1"]) == (1, 1)


def test_an_unread_answer_has_no_words_but_its_reference_counts_against_it() -> None:
    marks = dict(TASK.mark(TASK.conversation(record("in New York")), ModelAnswer(""), Unread("is empty")))
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


def test_an_object_is_one_answer_written_as_json_and_that_is_counted() -> None:
    for value, text in [({"city": "Rom"}, '{"city": "Rom"}'), ([{"a": 1}, {"a": 2}], '[{"a": 1}, {"a": 2}]')]:
        conversation = TASK.conversation(record(value))
        assert (conversation.answer, conversation.accepted) == (text, ())
        assert TASK.check(record(value)).notes.as_json == ("answer",)
    assert TASK.check(record(["a", "b"])).notes.as_json == ()


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        ({"role": "assistant", "content": "x"}, "is made of messages. Use task kind chat"),
        ([{"role": "assistant", "content": "x"}], "is made of messages. Use task kind chat"),
        ([271, 32], "a list of values that are no texts"),
    ],
)
def test_messages_and_numbers_are_no_accepted_answers(answer: Any, fault: str) -> None:
    with pytest.raises(DataError, match=fault):
        TASK.conversation(record(answer))


def test_a_question_made_of_messages_is_refused() -> None:
    with pytest.raises(
        DataError, match=r"field 'question' is a list of messages, not a text\. Use task kind chat"
    ):
        TASK.ask(Record("a:1", {"question": [{"role": "user", "content": "x"}]}))


def test_a_history_is_earlier_turns_and_a_system_prompt_is_filled() -> None:
    task = Answer(prompt="{question}", system="Be {style}.")
    fields = {"question": "And now?", "answer": "x", "style": "short", "history": [["Hi", "Ho"]]}
    turns = task.check(Record("a:1", fields)).conversation.turns
    assert [turn.text for turn in turns] == ["Be short.", "Hi", "Ho", "And now?"]
    assert "style" in task.fields_asked()
    with pytest.raises(ValueError, match="double its braces"):
        Answer(prompt="{question}", system='Write {"a": 1}.')


def test_missing_fields_of_question_and_answer_are_named_together() -> None:
    with pytest.raises(DataError) as caught:
        Answer(prompt="{inputs}", field="outputs").check(Record("a:1", {"input": "x", "output": "y"}))
    assert [line.partition(" (")[0] for line in str(caught.value).splitlines()] == [
        "a:1: task.field: there is no field 'outputs'",
        "a:1: prompt: there is no field 'inputs'",
    ]


def test_a_mark_in_the_question_is_the_place_of_its_picture() -> None:
    picture = Picture("a.jpg", "00", 40, 30, "0" * 16)
    task = Answer(prompt="{question}", pictures=["image"])

    def asked(question: str) -> Any:
        return (
            task.ask(Record("a:1", {"question": question, "answer": "x", "image": picture})).turns[0].pieces
        )

    assert asked("Is <image> red?") == (Text("Is "), picture, Text(" red?"))
    assert asked("Is it red?") == (picture, Text("Is it red?"))
    with pytest.raises(DataError, match=r"have 2 places for pictures .* but task\.pictures gives 1"):
        asked("<image><image>")
