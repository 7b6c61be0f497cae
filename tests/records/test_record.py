import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunesmith.records.record import Record
from tunesmith.records.store import RecordStore, canonical, write_store

TEXT = st.text(st.characters(), max_size=8)
"""Any character, halves of surrogate pairs and emoji among them."""
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


def turned_round(value: Any) -> Any:
    """The same value with the keys of every object in the opposite order."""
    if isinstance(value, dict):
        return {key: turned_round(value[key]) for key in reversed(value)}
    return [turned_round(one) for one in value] if isinstance(value, list) else value


@given(st.dictionaries(TEXT, VALUES, max_size=4))
def test_a_row_is_the_same_whatever_the_order_of_its_columns_and_wherever_it_stands(
    fields: dict[str, Any],
) -> None:
    assert Record("a.jsonl:1", fields).sha256 == Record("b.csv:9", turned_round(fields)).sha256


@given(st.dictionaries(TEXT, VALUES, max_size=3), st.dictionaries(TEXT, VALUES, max_size=3))
def test_rows_have_one_hash_exactly_when_they_are_the_same_json(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    alike = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    assert (Record("a:1", one).sha256 == Record("a:1", other).sha256) == alike


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"text": "good 🙂"}, {"text": "good 🙃"}),
        ({"text": "\ud83d"}, {"text": "\ud83e"}),
        ({"text": "\ud83d"}, {"text": "?"}),
        ({"text": "1"}, {"text": 1}),
        ({"text": 1}, {"text": True}),
        ({"text": None}, {}),
        ({"a": "x", "b": "y"}, {"a": "y", "b": "x"}),
        ({"tags": ["a", "b"]}, {"tags": ["b", "a"]}),
        ({"a": "b,c"}, {"a": "b", "c": ""}),
    ],
)
def test_rows_that_a_reader_tells_apart_have_different_hashes(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    assert Record("a:1", one).sha256 != Record("a:1", other).sha256


def test_a_changed_letter_anywhere_in_a_long_text_changes_the_hash() -> None:
    text = "".join(random.Random(0).choices("abc 🙂\n", k=500))
    changed = {Record("a:1", {"text": text[:at] + "X" + text[at + 1 :]}).sha256 for at in range(len(text))}
    assert len(changed | {Record("a:1", {"text": text}).sha256}) == 501


def test_a_row_that_was_stored_and_read_back_has_the_hash_it_was_stored_with(tmp_path) -> None:
    record = Record("a:1", {"text": "早 🙂 \u2028", "label": 1, "meta": {"z": 1.5, "a": None}})
    with write_store(tmp_path / "records.arrow") as store:
        store.add(record.id, record.sha256, canonical(record.fields))
    (read,) = RecordStore(tmp_path / "records.arrow")
    assert (read.id, read.sha256) == (record.id, record.sha256)
