import random
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunesmith.split.normalize import exact, fold, loose, marks, question_of, text_of


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Hello, world!", "  hello\tWORLD "),
        ("ﬁne Ｔｅｘｔ", "fine text"),
        ("Straße", "STRASSE"),
        ("cafe\u0301", "café"),
        ("café naïve Ærø", "CAFE naive aero"),
        ("zero\u200bwidth\ufeff", "zerowidth"),
        ("«quoted» — text…", '"quoted" - text...'),
        ("\u200fשלום, עולם", "שלום עולם"),
        ("<p class='x'>Tom &amp; <b>J</b>erry</p>", "Tom & Jerry"),
        ("Tom &amp;amp; Jerry", "Tom & Jerry"),
        ("p\u0430yp\u0430l \u0441ost", "paypal cost"),
        ("- one\n- two", "one two"),
        ("体育，新闻。", "体 育, 新 闻"),
        ("ﾃｽﾄ", "テスト"),
        ("don’t well-known", "dont wellknown"),
    ],
)
def test_texts_that_differ_in_what_does_not_matter_have_one_loose_form_but_are_not_the_same_text(one, other):
    assert loose(one) == loose(other)
    assert exact(one) != exact(other) or unicodedata.normalize("NFC", one) == unicodedata.normalize(
        "NFC", other
    )


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1.5", "15"), ("a b", "ab"), ("😀", "😢"), ("?!", "..."), ("2+2", "2 2"), ("12 * 3", "12 - 3"),
        ("12*3", "12-3"), ("-40", "40"), ("at -40 degrees", "at 40 degrees"), ("C", "C#"), ("C++", "C"),
        ("x % 2", "x / 2"), ("a & b", "a * b"), ("a != b", "a = b"), ("p->q", "p > q"), ("3.14", "3 14"),
        ("10:30", "10/30"), ("@home", "home"), ("x += 1", "x -= 1"), ("a // b", "a / b"), ("2**3", "2*3"),
        ("1.5, -2.3", "1.5, 2.3"), ("$5", "€5"), ("a <= b", "a < b"), ("i++", "i--"), ("x-1", "x+1"),
        ("#topic", "topic"), ("50 %", "50"), ("2 × 3", "2 ÷ 3"), ("!done", "done"), ("f(x) - 1", "f(x) * 1"),
    ],
)  # fmt: skip
def test_signs_operators_and_digits_are_kept_at_both_levels(one, other):
    assert loose(one) != loose(other)
    assert exact(one) != exact(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [("(a, b]", "[a, b)"), ("if x: y", "if x; y"), ("It is done?", "It is done."), ("a/b c", "a:b c")],
)
def test_punctuation_that_changes_the_meaning_is_counted(one, other):
    assert marks(fold(one)) != marks(fold(other))


@given(st.text())
def test_folding_twice_changes_nothing_and_no_text_with_content_vanishes(text):
    assert exact(exact(text)) == exact(text)
    visible = [character for character in text if unicodedata.category(character)[0] in "LN"]
    assert loose(text) or not visible or "<" in text


@given(
    st.lists(
        st.sampled_from(["12", "-3", "*", "/", "- ", "x", "C#", "(b)", "well-known", ",", "育", "a.b", "?"])
    )
)
def test_white_space_between_words_does_not_matter(pieces):
    assert loose(" ".join(pieces)) == loose("  \t ".join(pieces))


def test_remembering_words_changes_nothing():
    chance = random.Random(1)
    words = ["".join(chance.choices("ab-.'*/+#1", k=chance.randint(1, 6))) for _ in range(300)]
    first = [loose(f"x {word} y") for word in words]
    assert [loose(f"x {word} y") for word in words] == first


def test_scripts_without_spaces_are_split_into_characters():
    assert loose("用 gpu 训练モデル 한국어") == ["用", "gpu", "训", "练", "モ", "デ", "ル", "한국어"]
    assert loose("हिन्दी में") == ["हिन्दी", "में"]


def test_all_text_of_a_value_counts_but_of_a_message_only_its_content():
    assert text_of({"a": ["x", 1, None], "b": True}) == "x 1  True"
    assert text_of([{"role": "user", "content": "x"}]) == "x"


def test_the_last_answer_of_a_chat_is_no_part_of_the_question():
    said = [{"role": role, "content": role} for role in ("user", "assistant", "user", "assistant")]
    assert question_of(said) == said[:3]
    assert question_of(said[:3]) == said[:3]
    assert question_of(["a", "b"]) == ["a", "b"]
