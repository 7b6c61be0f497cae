from __future__ import annotations

import doctest
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from pydantic import ValidationError

from tunesmith.tasks import Answer, Unread, _said
from tunesmith.tasks._said import label_in, plain
from tunesmith.tasks.classify import Classify

TOPICS = ("World", "Sports", "Business", "Sci/Tech")
YES_NO = ("Yes", "No")
SUBJECTS = ("体育", "财经", "国际")
SENTIMENTS = ("positive", "negative")


def test_the_examples_in_the_docstrings_are_true() -> None:
    assert doctest.testmod(_said).failed == 0


@pytest.mark.parametrize(
    "text",
    ["Sports!", "Sports,", "Sports:", "Sports;", "Sports..", "Sports…", "Sports。", "Sports！", "- Sports",
      "• Sports",
     "* Sports", "1. Sports", "1) Sports", "[Sports]", "(Sports)", "<Sports>", "{Sports}", "#Sports", "# Sports",
     "**Sports**.", "***Sports***", "__Sports__", "_Sports_", "SPORTS", "Ｓｐｏｒｔｓ", "„Sports“",
     "「Sports」", "『Sports』",
     "‹Sports›", "Sports\u200b", "\ufeffSports", "Answer：Sports", "The answer is Sports.",
     "The answer is: **Sports**",
     "Final answer: Sports", "Topic: Sports", "Category = Sports", "category - Sports", "Sure! The answer is Sports.",
     "The article is about Sports.", "This article belongs to the category Sports.", "I think this is Sports.",
     "Sports - because it is about football.", "Sports news", "Sports Sports", "Sports\nSports\nSports",
     "Sports<|im_end|>", "Sports</s>", "assistant\nSports", "<answer>Sports</answer>", "\\boxed{Sports}",
     "$\\boxed{\\text{Sports}}$", '{"category": "Sports"}', '["Sports"]', "```\nSports", "Antwort: Sports",
     "La respuesta es Sports.", "答案是Sports。"],
)  # fmt: skip
def test_a_label_is_read_whatever_a_person_would_look_past(text: str) -> None:
    assert label_in(text, TOPICS) == 1


@pytest.mark.parametrize(
    ("text", "labels", "index"),
    [
        *((text, SUBJECTS, 0) for text in ("体育。", "体育！", "「体育」", "《体育》", "【体育】", "（体育）",
        "答案：体育",
           "答案是体育。", "类别: 体育", "这篇文章属于体育类。", "体育です。", "カテゴリー：体育", "**体育**",
           "- 体育")),
        ("رياضة،", ("رياضة", "x"), 0), ("\u200fرياضة\u200f", ("رياضة", "x"), 0), ("الإجابة: رياضة", ("رياضة",
        "x"), 0),
        ("खेल।", ("खेल", "x"), 0), ("उत्तर: खेल", ("खेल", "x"), 0), ("خبر۔", ("خبر", "x"), 0),
        ("คำตอบ: กีฬา", ("กีฬา", "ข่าว"), 0), ("정답은 스포츠입니다.", ("스포츠", "정치"), 0), ("Ответ: спорт",
        ("спорт", "мир"), 0),
        (unicodedata.normalize("NFD", "Économie"), ("Économie", "x"), 0),
        ("Yes!", YES_NO, 0), ("Yes, it is.", YES_NO, 0), ("No, it isn't.", YES_NO, 1),
        ("Yes, because he likes it.", YES_NO, 0),
        ("The sentiment is positive.", SENTIMENTS, 0), ("(negative)", SENTIMENTS, 1),
        ("Sci / Tech", TOPICS, 3), ("SciTech", TOPICS, 3), ("sci-tech", TOPICS, 3),
        ("not_entailment", ("entailment", "not entailment"), 1), ("very-positive", ("positive", "very positive"), 1),
        ("US", ("U.S.", "U.K."), 0), ("No 1", ("No. 1", "No. 2"), 0),
        ("1.0", ("1", "2"), 0), ("2)", ("1", "2"), 1), ("2.", ("1", "2"), 1), ("-1", ("1", "-1"), 1), ("C#",
        ("C", "C#"), 1),
        ("C.", ("C", "C#", "C++"), 0), ("C++!", ("C", "C#", "C++"), 2), ("A-", ("A", "A+", "A-"), 2), ("yes!",
        ("yes", "yes!"), 1),
    ],
)  # fmt: skip
def test_scripts_signs_and_spellings_are_read(text: str, labels: tuple[str, ...], index: int) -> None:
    assert label_in(text, labels) == index


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        *((text, TOPICS) for text in ("not Sports", "Not Sports.", "isn't Sports", "It is not Sports.",
        "World or Sports",
           "The answer is not Sports", "Category: not Sports", "Sports, not World", "Sports Business", "Sports?",
           "Probably Sports", "anything but Sports", "The wrong answer is Sports", "Sports because it is not World",
           "Sports, because no other fits", "Sport", "Worldwide", "I don't know", "No idea.", "N/A")),
        *((text, SUBJECTS) for text in ("非体育", "不是体育", "体育和财经", "不属于体育", "体育？")),
        *((text, YES_NO) for text in ("No idea.", "Yes and no", "No, wait: yes", "Yes, it isn't.", "No, it is.",
        "Not sure")),
        ("- 1", ("1", "-1")), ("+1", ("1", "2")), ("#1", ("1", "2")), ("1%", ("1", "2")), ("1 2", ("12", "3")),
        ("1. 2", ("1", "2")), ("1-2", ("12", "1")), ("5", ("0.5", "0")), ("0.5", ("5", "0")), ("1", ("1/2", "2")),
        ("C", ("C#", "C++")), ("A", ("A+", "A-")), ("not positive", SENTIMENTS),
    ],
)  # fmt: skip
def test_what_is_in_doubt_negated_or_another_thing_is_unread(text: str, labels: tuple[str, ...]) -> None:
    assert isinstance(label_in(text, labels), Unread)


label_lists = some.lists(
    some.one_of(
        some.text(some.characters(exclude_categories=["C"]), min_size=1, max_size=8),
        some.sampled_from(["-1", "1", "1.5", "15", "C", "C#", "C++", "体育", "not Sports", "Sports", "1. a",
        "A", "the answer"]),
    ),
    min_size=2,
    max_size=5,
)  # fmt: skip
FORMS = ({}, {"answer": "json"}, {"answer": "letter", "prompt": "{options}"})


@settings(max_examples=200, deadline=None)
@given(label_lists)
def test_every_answer_that_is_written_is_read_back_in_every_form(labels: list[str]) -> None:
    for form in FORMS:
        try:
            task = Classify(**{"labels": labels, "prompt": "x", **form})  # type: ignore[arg-type]
        except ValidationError:
            return
        for index, label in enumerate(labels):
            assert task.read(Answer(task.answer.write(index, labels))) == label


@settings(max_examples=200, deadline=None)
@given(some.lists(some.sampled_from([*"abcde", "not", "no", "体育", "1", "-1", "or"]), min_size=2, max_size=4,
  unique=True),
       some.sampled_from(["{}.", "“{}”", "- {}", "Answer: {}", "**{}**", "「{}」。", "The answer is {}."]),
       some.data())  # fmt: skip
def test_what_stands_around_a_label_never_makes_it_another_one(
    labels: list[str], around: str, data: some.DataObject
) -> None:
    label = data.draw(some.sampled_from(labels))
    found = label_in(around.format(label), labels)
    assert isinstance(found, Unread) or labels[found] == label


@pytest.mark.parametrize("piece", ["。", ".", " ", "- ", "(", "Sports ", "**", "a, ", "because ", "{", "1. "])
def test_a_long_answer_takes_no_time_to_be_unread(piece: str) -> None:
    assert isinstance(label_in("no " + piece * 5000, TOPICS), Unread)


@settings(max_examples=200, deadline=None)
@given(some.text(max_size=60))
def test_any_text_is_read_or_unread(text: str) -> None:
    for labels in (TOPICS, YES_NO, ("1", "-1")):
        found = label_in(text, labels)
        assert isinstance(found, Unread) or plain(labels[found])
