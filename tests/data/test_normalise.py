import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunesmith.data.normalise import normalise, text_of, words


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Hello, world!", "  hello\tWORLD "),
        ("ﬁne Ｔｅｘｔ", "fine text"),
        ("Straße", "STRASSE"),
        ("cafe\u0301", "café"),
        ("zero\u200bwidth\ufeff", "zerowidth"),
        ("«quoted» — text…", "quoted text"),
        ("\u200fשלום, עולם", "שלום עולם"),
    ],
)
def test_texts_that_a_reader_would_call_the_same_are_the_same(one, other):
    assert normalise(one) == normalise(other)


@pytest.mark.parametrize(
    ("one", "other"), [("1.5", "15"), ("a b", "ab"), ("😀", "😢"), ("?!", "..."), ("2+2", "2 2")]
)
def test_texts_that_differ_for_a_reader_stay_different(one, other):
    assert normalise(one) != normalise(other)


@given(st.text())
def test_normalising_twice_changes_nothing_and_no_text_with_content_vanishes(text):
    once = normalise(text)
    assert normalise(once) == once
    visible = [character for character in text if unicodedata.category(character)[0] in "LNS"]
    assert once or not visible


def test_scripts_without_spaces_are_split_into_characters():
    assert words("用 gpu 训练モデル 한국어") == ["用", "gpu", "训", "练", "モ", "デ", "ル", "한국어"]


def test_all_text_of_a_value_counts_but_of_a_message_only_its_content():
    assert text_of({"a": ["x", 1, None], "b": True}) == "x 1  True"
    assert text_of([{"role": "user", "content": "x"}]) == "x"
