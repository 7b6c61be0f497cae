from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from tunesmith.config.registry import Registry
from tunesmith.errors import DataError
from tunesmith.records.record import Record
from tunesmith.tasks.classify import Classify

TOPICS = ["World", "Sports", "Business", "Sci/Tech"]


def task(**settings: Any) -> Classify:
    return Classify(**{"labels": TOPICS, "prompt": "{text}", **settings})


def label_of(value: Any, labels: Any = TOPICS) -> int | None:
    return task(labels=labels).conversation(Record("news.csv:2", {"text": "x", "label": value})).label


def test_ag_news_answers_are_what_its_recipe_trains() -> None:
    ag_news = task(answer="json", prompt="Classify the following news article:\n\n{text}")
    conversation = ag_news.decided("indices").conversation(
        Record("hub:0", {"text": "Stocks fell.", "label": 2})
    )
    assert conversation.turns[-1].text == "Classify the following news article:\n\nStocks fell."
    assert conversation.answer == '{"category":"Business"}'
    assert ag_news.candidates(conversation)[3] == '{"category":"Sci/Tech"}'


@pytest.mark.parametrize(
    ("value", "labels", "index"),
    [
        (1, {0: "No", 1: "Yes"}, 1),
        ("pos", {"neg": "Negative", "pos": "Positive"}, 1),
        (True, {True: "Yes", False: "No"}, 0),
        ("c", {"a": "First", "b": "Other", "c": "First"}, 0),
    ],
)
def test_a_mapping_names_what_the_data_holds(value: Any, labels: dict[Any, str], index: int) -> None:
    assert label_of(value, labels) == index


@pytest.mark.parametrize(
    ("value", "labels", "message"),
    [
        (
            4,
            TOPICS,
            r"is 4, none of task.labels \(World, .*\)\. A number is a position in the list only where .*"
            r"labels: \{0: World, 1: Sports, 2: Business, 3: Sci/Tech\}$",
        ),
        ([0, 1], TOPICS, r"is \[0, 1\], none of task.labels"),
        ("Sport", TOPICS, r"is 'Sport', none of task\.labels .*\. Did you mean 'Sports'\?$"),
        (True, ["No", "Yes"], "is True, none of task.labels"),
        (0.5, TOPICS, "is 0.5, none of task.labels"),
        ("negg", {"neg": "N", "pos": "P"}, r"none of task.labels \(neg, pos\)\. Did you mean 'neg'\?"),
        (None, TOPICS, "task.field: field 'label' is null; it must have a value"),
    ],
)
def test_an_unknown_class_is_named_with_what_is_possible(value: Any, labels: Any, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        label_of(value, labels)
    assert str(caught.value).startswith("news.csv:2: ")


def test_a_binary_task_says_which_class_is_positive() -> None:
    assert task(labels=["No", "Yes"], positive="Yes").positive_index == 1
    assert task().positive_index is None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"labels": ["a"]}, "at least 2 items"),
        ({"labels": {1: "a", "1.0": "b"}}, "the keys 1 and '1.0' are the same value in data; remove one"),
        (
            {"labels": {"x": "Same", "y": "Same"}},
            "all values are one label .'Same'.; there must be at least two",
        ),
        ({"labels": ["Yes", "yes."]}, "labels 'Yes' and 'yes.' cannot be told apart in an answer"),
        ({"labels": ["a", "a"]}, "labels 'a' and 'a' cannot be told apart in an answer"),
        ({"labels": ["a", "**"]}, r"label '\*\*' has nothing to read; it needs at least one letter or digit"),
        ({"positive": "Sport"}, r"'Sport' is not one of the labels \(World, .*\)\. Did you mean 'Sports'\?"),
        (
            {"answer": "letter"},
            "with letters the prompt must list the classes; put {options} into task.prompt",
        ),
        (
            {
                "answer": "letter",
                "prompt": "{options}",
                "labels": [f"class {number}" for number in range(27)],
            },
            "there are 27 labels but 26 letters; use 'text' or 'json'",
        ),
        ({"prompt": "{text"}, "the brace at character 1 is not part of a {field}"),
    ],
)
def test_impossible_settings_are_refused_when_the_file_is_read(
    settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        task(**settings)


def test_the_experiment_files_grammar_has_it() -> None:
    read = TypeAdapter(Registry("tunesmith.tasks").union())
    made = read.validate_python({"kind": "classify", "labels": TOPICS, "prompt": "{text}", "answer": "json"})
    assert made == task(answer="json")
    assert read.validate_python(made.model_dump(mode="json")) == made
    assert read.json_schema()
