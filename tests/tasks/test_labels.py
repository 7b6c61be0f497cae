from __future__ import annotations

import doctest
import random
import unicodedata
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from tunesmith.errors import DataError
from tunesmith.records.record import Record
from tunesmith.tasks import _labels
from tunesmith.tasks.classify import Classify

TOPICS = ["World", "Sports", "Business", "Sci/Tech"]
ANIMALS = ["cat", "dog", "cow"]
SEVERAL = {"kind": "head", "multi": True}


def records(values: list[Any]) -> list[Record]:
    return [Record(f"a:{line}", {"text": "x", "label": value}) for line, value in enumerate(values, 1)]


def read(values: list[Any], labels: Any = TOPICS, **more: Any) -> list[str]:
    """The answer that each value trains, after the decision over all of them."""
    task = Classify(labels=labels, prompt="{text}", **more)
    task = task.decided(task.decide([records(values)]))
    return [task.conversation(record).answer for record in records(values)]


def test_the_examples_in_the_docstrings_are_true() -> None:
    assert doctest.testmod(_labels).failed == 0


@pytest.mark.parametrize(
    ("values", "labels", "answers"),
    [
        ([1, 4, 2], ["1", "2", "3", "4", "5"], ["1", "4", "2"]),
        ([0, 1], ["1", "0"], ["0", "1"]),
        ([0, -1, 1], ["-1", "0", "1"], ["0", "-1", "1"]),
        ([1.0, "2.0", np.int64(1)], ["2", "1"], ["1", "2", "1"]),
        ([2, 2.0], ["2", "2.0"], ["2", "2.0"]),
        ([True, "False", np.bool_(True)], ["true", "false"], ["true", "false", "true"]),
        ([1, 2], ["Other", "1", "2"], ["1", "2"]),
    ],
)
def test_a_number_that_spells_a_label_is_that_label(values: Any, labels: Any, answers: Any) -> None:
    assert read(values, labels) == answers


@pytest.mark.parametrize(
    "values", [[2, 0], ["2", "0"], [2.0, 0.0], ["2.0", "0"], [np.int32(2), np.float32(0)]]
)
def test_numbers_from_0_that_are_all_in_range_are_positions(values: Any) -> None:
    assert read(values) == ["Business", "World"]


@pytest.mark.parametrize(
    ("values", "labels", "why", "mapping"),
    [
        ([1, 2, 3, 4], TOPICS, "4 cannot be a position from 0 to 3", "{1: World, 2: Sports, 3: Business, 4: Sci/Tech}"),
        (["1", "2"], TOPICS, "0 does not occur", "{1: World, 2: Sports, 3: Business, 4: Sci/Tech}"),
        ([2, 1], ["a", "b", "c"], "0 does not occur", "{0: a, 1: b, 2: c}"),
        ([-1, 0, 1], ["bad", "so so", "good"], "-1 is below 0", "{-1: bad, 0: so so, 1: good}"),
        ([-1, 0, 1], TOPICS, "-1 is below 0", "{0: World, 1: Sports, 2: Business, 3: Sci/Tech}"),
        ([0, 0.5], TOPICS, "0.5 is no whole number", "{0: ..., 0.5: ...}"),
        ([0, 10, 20, 30], TOPICS, "30 cannot be", "{0: World, 10: Sports, 20: Business, 30: Sci/Tech}"),
        ([0, 1], ["grade 1", "grade 2"], "label 'grade 1', at position 0, holds a number", "{1: grade 1, 2: grade 2}"),
        ([True, False], ["no", "yes"], "holds true or false", "{false: \"no\", true: \"yes\"}"),
        ([0, 3], ["1", "2"], "holds numbers, and 3 cannot be a position", "{1: \"1\", 2: \"2\"}"),
    ],
)  # fmt: skip
def test_other_numbers_are_refused_with_the_mapping_to_write(
    values: Any, labels: Any, why: str, mapping: str
) -> None:
    with pytest.raises(DataError) as caught:
        read(values, labels)
    assert str(caught.value).startswith("a:1: field 'label' ")
    assert why in str(caught.value)
    assert f"labels: {mapping}" in str(caught.value).replace(": no,", ': "no",').replace(": yes}", ': "yes"}')
    assert "skip:" not in str(caught.value)


def test_every_mapping_that_is_proposed_can_be_written_and_is_read() -> None:
    from ruamel.yaml import YAML

    labels = ["a: b", "- c", "true", "it's, so", "Sci/Tech", "体育", "null", "#1"]
    with pytest.raises(DataError) as caught:
        read([2, 8], labels)
    line = next(line for line in str(caught.value).splitlines() if line.startswith("  labels:"))
    written = YAML(typ="safe").load(line.partition("  if they")[0])["labels"]
    assert read([2, 8], written) == ["- c", "#1"]


def test_a_number_beside_labels_is_a_slip_of_its_record() -> None:
    task = Classify(labels=TOPICS, prompt="{text}")
    task = task.decided(task.decide([records(["World", 1])]))
    with pytest.raises(DataError, match=r"a:2: field 'label' is 1, none of task.labels"):
        task.conversation(records(["World", 1])[1])


def test_sources_may_differ_in_labels_and_positions_but_not_mix_them() -> None:
    task = Classify(labels=TOPICS, prompt="{text}")
    assert task.decide([records(["World", "Sports"]), records([0, 3])]) == "indices"
    with pytest.raises(DataError, match=r"sources differ .* a:1 names its label, a:2 has a number"):
        task.decide([records(["World", 2]), records([0, 3])])
    with pytest.raises(DataError, match="0 does not occur"):
        task.decide([records([0, 3]), records([1, 3])])


def test_of_very_many_classes_all_numbers_are_looked_at() -> None:
    labels = [
        f"name{'x' * (number % 7)}-{chr(97 + number % 26)}-{chr(97 + number // 26)}" for number in range(600)
    ]
    assert read([*range(599, -1, -1)], labels) == labels[::-1]
    with pytest.raises(DataError, match="600 cannot be a position from 0 to 599"):
        read([*range(600, 0, -1)], labels)


def test_what_was_decided_over_more_records_stays() -> None:
    task = Classify(labels=TOPICS, prompt="{text}").decided("indices")
    assert task.decide([records([2, 3])]) == "indices"


def test_without_a_decision_no_number_is_a_position() -> None:
    with pytest.raises(DataError, match="A number is a position in the list only where all records"):
        Classify(labels=TOPICS, prompt="{text}").conversation(records([0])[0])


@pytest.mark.parametrize(
    ("values", "answers"),
    [
        ([[1, 0, 0], [0, 1, 1], [0, 0, 0]], [["cat"], ["dog", "cow"], []]),
        ([["0", "0", "1"]], [["cow"]]),
        ([[0.0, 1.0, 0.0], []], [["dog"], []]),
        ([[True, False, True]], [["cat", "cow"]]),
        ([[0], [1, 2]], [["cat"], ["dog", "cow"]]),
        ([["cow", "cat"]], [["cat", "cow"]]),
    ],
)
def test_vectors_of_0_and_1_are_told_from_positions(values: Any, answers: Any) -> None:
    import json

    assert [json.loads(one) for one in read(values, ANIMALS, answer=SEVERAL)] == answers


@pytest.mark.parametrize(
    ("values", "labels", "why"),
    [
        ([[0, 0, 1], [2]], ANIMALS, r"\[0, 0, 1\]. A list that repeats .* Beside it, a:2: field 'label' is \[2\]"),
        ([[0, 0]], ANIMALS, r"\[0, 0\]. A list that repeats a number is no list of classes"),
        ([[0, 0, 1]], ["0", "1", "2"], "A list that repeats a number"),
        ([[0, 1], [1, 0]], ["a", "b"], r"\[0, 1\]. With two labels that can be the positions of both, or a vector"),
        ([[1], [2, 3]], ANIMALS, "3 cannot be a position"),
    ],
)  # fmt: skip
def test_lists_of_numbers_in_doubt_are_refused(values: Any, labels: Any, why: str) -> None:
    with pytest.raises(DataError, match=why):
        read(values, labels, answer=SEVERAL)


def test_unicode_forms_and_white_space_do_not_matter_but_case_is_asked_about() -> None:
    assert read([unicodedata.normalize("NFD", "Économie"), " Économie\u00a0"], ["Économie", "Sport"]) == [
        "Économie",
        "Économie",
    ]
    assert read(["Économie"], [unicodedata.normalize("NFD", "Économie"), "Sport"]) != []
    with pytest.raises(DataError, match=r"is 'sport', none of task.labels .* Did you mean 'Sport'"):
        read(["sport"], ["Économie", "Sport"])


def test_numbers_as_keys_leave_names_as_they_are() -> None:
    assert read([0, "Sports", 1.0], {0: "World", 1: "Sports"}) == ["World", "Sports", "Sports"]


label_texts = some.lists(
    some.one_of(
        some.integers(-3, 12).map(str),
        some.text(some.characters(categories=["L", "Nd", "Mn"]), min_size=1, max_size=5),
        some.sampled_from(["grade 1", "2.0", "true", "False", "No", "体育", "é", "C#"]),
    ),
    min_size=2,
    max_size=6,
)
values_in_data = some.lists(
    some.one_of(some.integers(-2, 8), some.integers(0, 6).map(float), some.integers(0, 6).map(str), some.booleans()),
    min_size=1,
    max_size=8,
)  # fmt: skip


def meanings(values: list[Any], labels: Any) -> list[str | None] | None:
    """What each value means, None for one that is refused; None altogether if the source is."""
    try:
        task = Classify(labels=labels, prompt="{text}")
    except ValueError:
        return None
    try:
        task = task.decided(task.decide([records(values)]))
    except DataError:
        return None
    found: list[str | None] = []
    for record in records(values):
        try:
            found.append(task.conversation(record).answer)
        except DataError:
            found.append(None)
    return found


@settings(max_examples=150, deadline=None)
@given(label_texts, values_in_data, some.integers(0, 10**6))
def test_the_order_of_the_labels_never_changes_what_a_value_that_spells_one_means(
    labels: list[str], values: list[Any], seed: int
) -> None:
    shuffled = random.Random(seed).sample(labels, len(labels))
    one, other = meanings(values, labels), meanings(values, shuffled)
    spelled = {_labels.spelled(label) for label in labels}
    for index, value in enumerate(values):
        if _labels.spelled(value) in spelled and one is not None and other is not None:
            assert one[index] == other[index]
            assert _labels.spelled(one[index]) == _labels.spelled(value)


@settings(max_examples=150, deadline=None)
@given(label_texts, values_in_data, some.integers(0, 10**6))
def test_the_order_of_the_records_never_changes_what_a_value_means(
    labels: list[str], values: list[Any], seed: int
) -> None:
    order = random.Random(seed).sample(range(len(values)), len(values))
    one, other = meanings(values, labels), meanings([values[index] for index in order], labels)
    assert one is None if other is None else one is not None
    if one is not None and other is not None:
        assert [one[index] for index in order] == other


@settings(max_examples=100, deadline=None)
@given(some.permutations(range(1, 6)), values_in_data)
def test_a_mapping_means_the_same_in_any_order(order: list[int], values: list[Any]) -> None:
    names = dict(zip(range(1, 6), "abcde", strict=True))
    shuffled = {code: names[code] for code in order}
    assert meanings(values, names) == meanings(values, shuffled)
