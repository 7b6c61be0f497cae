import random
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunesmith.split.minhash import AlikeTexts, counted_words, shingles, word_hashes

WORDS = [f"{first}{second}" for first in ("ba", "ki", "lo", "mu") for second in map(str, range(2000))]


def article(chance, length=60):
    return chance.choices(WORDS, k=length)


def pairs_among(tmp_path, texts, near=0.85):
    alike = AlikeTexts(tmp_path / "alike", near)
    for number, text in enumerate(texts):
        alike.add(number, text)
    found = [tuple(pair) for pair in alike.pairs(lambda what, done: None).tolist()]
    assert len(found) == len(set(found))
    assert all(one < other for one, other in found)
    return set(found)


def changed(chance, text, times):
    other = list(text)
    for at in chance.sample(range(len(text)), times):
        other[at] = chance.choice(WORDS)
    return other


@given(st.lists(st.lists(st.sampled_from(["a", "b", "c", "ab"])), min_size=1))
def test_hashes_stand_for_three_neighbouring_words_within_one_text(texts):
    ends = np.cumsum([len(text) for text in texts])
    made, stops = shingles(word_hashes(texts), ends)
    sets = [set(made[start:stop].tolist()) for start, stop in pairwise([0, *stops.tolist()])]
    padded = [["", "", *text, "", ""] for text in texts]
    expected = [
        set(zip(text, text[1:], text[2:], strict=False)) if len(text) > 4 else set() for text in padded
    ]
    for one, its_words in zip(sets, expected, strict=True):
        for other, other_words in zip(sets, expected, strict=True):
            if its_words and other_words:
                assert len(one & other) == len(its_words & other_words)


@given(st.lists(st.lists(st.sampled_from(["a", "b", "12", "+"]), max_size=8), min_size=1))
def test_a_word_that_occurs_twice_counts_twice(texts):
    ends = np.cumsum([len(text) for text in texts])
    made = counted_words(word_hashes(texts), ends)
    sets = [set(made[start:stop].tolist()) for start, stop in pairwise([0, *ends.tolist()])]
    for one, its_words in zip(sets, texts, strict=True):
        for other, other_words in zip(sets, texts, strict=True):
            assert len(one & other) == sum(
                min(its_words.count(w), other_words.count(w)) for w in set(its_words)
            )


@pytest.mark.parametrize(("length", "times"), [(8, 1), (12, 1), (30, 1), (60, 2), (100, 3)])
def test_texts_with_few_words_changed_are_found_and_no_others(tmp_path, length, times):
    chance = random.Random(1)
    texts = [article(chance, length) for _ in range(300)]
    others = [changed(chance, text, times) for text in texts[:100]]
    found = pairs_among(tmp_path, [*texts, *others])
    assert found <= {(number, 300 + number) for number in range(100)}
    assert len(found) >= 98


def test_truncated_lengthened_and_shuffled_texts_are_found(tmp_path):
    chance = random.Random(2)
    texts = [article(chance, 60) for _ in range(150)]
    others = [text[:30] for text in texts[:50]]
    others += [[*text, *article(chance, 10)] for text in texts[50:100]]
    others += [[*text[40:], *text[20:40], *text[:20]] for text in texts[100:]]
    found = pairs_among(tmp_path, [*texts, *others])
    assert found == {(number, 150 + number) for number in range(150)}


def test_texts_that_share_less_than_asked_are_not_found(tmp_path):
    chance = random.Random(3)
    texts = [article(chance, 40) for _ in range(100)]
    half = [[*text[:20], *article(chance, 20)] for text in texts]
    assert not pairs_among(tmp_path, [*texts, *half])


def test_a_lower_threshold_finds_more(tmp_path):
    chance = random.Random(4)
    texts = [article(chance, 20) for _ in range(50)]
    others = [changed(chance, text, 4) for text in texts]
    (tmp_path / "low").mkdir()
    assert not pairs_among(tmp_path, [*texts, *others])
    assert len(pairs_among(tmp_path / "low", [*texts, *others], near=0.75)) >= 40


@pytest.mark.parametrize("payload", [1, 5, 30])
@pytest.mark.parametrize("rows", [12, 60, 400])
def test_rows_with_one_prompt_and_other_words_behind_it_stay_apart(tmp_path, rows, payload):
    chance = random.Random(5)
    prompt = article(chance, 120)
    behind = chance.sample(WORDS, rows) if payload == 1 else [article(chance, payload) for _ in range(rows)]
    texts = [[*prompt, *([words] if payload == 1 else words)] for words in behind]
    assert not pairs_among(tmp_path, [*texts, prompt])


def test_a_double_is_found_behind_a_prompt_that_all_have(tmp_path):
    chance = random.Random(6)
    prompt = article(chance, 100)
    texts = [[*prompt, *article(chance, 20)] for _ in range(300)]
    others = [[*prompt, *changed(chance, text[100:], 1)] for text in texts[:50]]
    found = pairs_among(tmp_path, [*texts, *others])
    assert found <= {(number, 300 + number) for number in range(50)}
    assert len(found) >= 48


def test_many_versions_of_one_text_hang_together_by_that_text(tmp_path):
    chance = random.Random(7)
    texts = [article(chance, 30) for _ in range(300)]
    versions = [changed(chance, texts[0], 1) for _ in range(30)]
    found = pairs_among(tmp_path, [*texts, *versions])
    assert {(0, 300 + number) for number in range(30)} <= found
    assert all(other >= 300 for _, other in found)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("12 * 7 and then 4 more of them please", "12 - 7 and then 4 more of them please"),
        ("how do i sort a list of numbers in c", "how do i sort a list of numbers in c #"),
        ("it is -40 degrees in the north of the land", "it is 40 degrees in the north of the land"),
    ],
)
def test_an_exchanged_number_operator_or_suffix_makes_another_text(tmp_path, one, other):
    chance = random.Random(8)
    assert not pairs_among(tmp_path, [one.split(), other.split(), *(article(chance, 9) for _ in range(50))])


def test_a_number_that_is_exchanged_in_long_prose_does_not(tmp_path):
    chance = random.Random(9)
    text = [*article(chance, 150), "10:45"]
    assert pairs_among(tmp_path, [text, [*text[:-1], "11:52"]]) == {(0, 1)}


def test_few_and_short_texts_are_no_trouble(tmp_path):
    for number, texts in enumerate([[], [["a"]], [["a"] * 5], [["a", "b"], ["a", "c"]]]):
        (tmp_path / str(number)).mkdir()
        assert pairs_among(tmp_path / str(number), texts) == set()
