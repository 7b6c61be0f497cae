from __future__ import annotations

from typing import Any

import pytest

from tunesmith.records.record import Record
from tunesmith.tasks import Answer, Unread
from tunesmith.tasks.classify import Classify

TOPICS = ["World", "Sports", "Business", "Sci/Tech"]


def task(**settings: Any) -> Classify:
    return Classify(**{"labels": TOPICS, "prompt": "{text}", **settings})


@pytest.mark.parametrize(
    "text",
    ["World", " world\n", "World.", '"World"', "'World.'", "**World**", "**World**.", "`World`", "“World”",
     "```\nWorld\n```", "Answer: World", "The category is World.", "Category: **World**"],
)  # fmt: skip
def test_a_label_is_read_whatever_stands_around_it(text: str) -> None:
    assert task().read(Answer(text)) == "World"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("World or Sports", "names 2 labels (World, Sports)"),
        ("World, sports", "names 2 labels (World, Sports)"),
        ("It is about the world of finance", "says more than the label 'World'"),
        ("Politics", "is none of the labels"),
        ("Worldwide", "is none of the labels"),
        ('""', "is empty"),
    ],
)
def test_an_answer_that_names_no_single_label_is_unread(text: str, why: str) -> None:
    assert task().read(Answer(text)) == Unread(why)


def test_an_answer_that_was_cut_is_unread_in_every_form() -> None:
    for form in ("text", "json"):
        assert task(answer=form).read(Answer("World", ended=False)) == Unread("was cut before it ended")


@pytest.mark.parametrize(
    "text",
    ['{"category":"World"}', '{"category": "world."}', '```json\n{"category": "World"}\n```',
     ' {"why": "war", "category": "World"}\n', '{"category": "World"}\n\nThe article is about the world.',
     'Here it is:\n{"category": "World"}', 'Sure! ```json\n{"category": "World"}\n```', '{"category": ["World"]}',
     '[{"category": "World"}]', "{'category': 'World'}", '{category: "World"}', '{"category": "World",}',
     '{"Category": "World"}', '{"label": "World"}', '{"category": "World"}<|im_end|>', '{"category": "World"',
     '```json\n{"category": "World"}', '{“category”: “World”}', '{"category":"World","category":"World."}'],
)  # fmt: skip
def test_json_is_read_alone_or_in_a_fence(text: str) -> None:
    assert task(answer="json").read(Answer(text)) == "World"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('{"category":"Wor', "is not whole JSON"),
        ("World", "is not whole JSON"),
        ('"World"', "is JSON, but not an object"),
        ("[]", "is JSON, but not an object"),
        ('{"topic":"World","class":"World"}', "is a JSON object with 0 keys 'category'"),
        ('{"category":null}', "is a JSON object, but the value of 'category' is not text"),
        ('{"category":"World"} or {"category":"Sports"}', "has 2 JSON objects that differ"),
        ('{"category":"World"}, not Sports', "names Sports next to its JSON object"),
        ("{'category': 'World', 'category': 'Sports'}", "is a JSON object with 2 keys 'category'"),
        ('{"category":"World","category":"Sports"}', "is a JSON object with 2 keys 'category'"),
        ('{"category":["World", "Sports"]}', "is a JSON object, but the value of 'category' is not text"),
        ('{"category":"World, Sports"}', "names 2 labels (World, Sports)"),
        ("", "is not whole JSON"),
    ],
)
def test_other_json_is_unread(text: str, why: str) -> None:
    assert task(answer="json").read(Answer(text)) == Unread(why)


def test_the_key_of_the_json_can_be_set() -> None:
    other = task(answer={"kind": "json", "key": "topic"})
    assert (
        other.candidates(other.conversation(Record("a:1", {"text": "", "label": "World"})))[0]
        == '{"topic":"World"}'
    )
    assert other.read(Answer('{"topic":"World"}')) == "World"


LETTERS = {"answer": "letter", "prompt": "{text}\n{options}"}


def test_letters_are_explained_in_the_prompt() -> None:
    conversation = task(**LETTERS).conversation(Record("a:1", {"text": "x", "label": "Business"}))
    assert conversation.turns[-1].text == "x\nA. World\nB. Sports\nC. Business\nD. Sci/Tech"
    assert conversation.answer == "C"


def test_options_of_the_other_forms_are_a_list() -> None:
    conversation = task(prompt="{options}").conversation(Record("a:1", {"label": "World"}))
    assert conversation.turns[-1].text == "- World\n- Sports\n- Business\n- Sci/Tech"
    assert task(prompt="{options} {text}").fields_asked() == ("text",)


@pytest.mark.parametrize(
    "text",
    [
        "B",
        "b",
        "B.",
        "(B)",
        "B)",
        "B. Sports",
        "(b) sports.",
        "Answer: B",
        "**B**",
        "B - Sports",
        "B Sports",
        "Option B",
        "[B]",
        "Ｂ",
        "B。",
        "（B）",
        "B、Sports",
        "答案：B",
        "\\boxed{B}",
    ],
)
def test_a_letter_is_read_alone_or_with_its_label(text: str) -> None:
    assert task(**LETTERS).read(Answer(text)) == "Sports"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("E", "is not one of the letters A to D"),
        ("Vitamin C", "is not one of the letters A to D"),
        ("not B", "is not one of the letters A to D"),
        ("A or B", "has more behind the letter A than its label 'World'"),
        ("Sports", "is not one of the letters A to D"),
        ("B. World", "has more behind the letter B than its label 'Sports'"),
    ],
)
def test_other_letters_are_unread(text: str, why: str) -> None:
    assert task(**LETTERS).read(Answer(text)) == Unread(why)


def test_a_number_under_the_key_is_the_label_that_it_spells() -> None:
    assert task(labels=["2", "1"], answer="json").read(Answer('{"category": 1}')) == "1"
    assert isinstance(task(answer="json").read(Answer('{"category": 1}')), Unread)


def test_every_written_answer_of_every_form_is_read_back() -> None:
    for settings in ({}, {"answer": "json"}, LETTERS):
        form = task(**settings)
        conversation = form.conversation(Record("a:1", {"text": "x", "label": "World"}))
        assert [form.read(Answer(text)) for text in form.candidates(conversation)] == TOPICS
