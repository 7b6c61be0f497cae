from __future__ import annotations

import doctest

import pytest
from pydantic import TypeAdapter, ValidationError

from tunesmith.errors import DataError
from tunesmith.records.record import Record
from tunesmith.tasks import _prompt
from tunesmith.tasks._prompt import Template, fields_of, fill


def test_the_examples_in_the_docstrings_are_true() -> None:
    assert doctest.testmod(_prompt).failed == 0


def test_values_that_are_not_text_are_shown_as_json() -> None:
    record = Record("a:1", {"year": 1979, "genres": ["Horror", "été"], "seen": True})
    assert fill("{year} {genres} {seen}", record) == '1979 ["Horror", "été"] true'


def test_a_value_with_braces_is_not_filled_again() -> None:
    assert fill("{a} {b}", Record("a:1", {"a": "{b}", "b": "}}"})) == "{b} }}"


def test_field_names_may_hold_spaces_colons_and_dots() -> None:
    assert fill("{Product: name.de}", Record("a:1", {"Product: name.de": "Brot"})) == "Brot"


def test_all_missing_fields_are_named_at_once() -> None:
    with pytest.raises(DataError) as caught:
        fill("{titel} {body} {text}", Record("a.csv:7", {"title": "x", "text": None}))
    assert str(caught.value).splitlines() == [
        "a.csv:7: prompt: there is no field 'titel' (title, text). Did you mean 'title'?",
        "a.csv:7: prompt: there is no field 'body' (title, text).",
        "a.csv:7: prompt: field 'text' is null; it must have a value",
    ]


def test_a_record_without_fields_says_so() -> None:
    with pytest.raises(DataError, match=r"there is no field 'x' \(none\)"):
        fill("{x}", Record("a:1", {}))


@pytest.mark.parametrize(("template", "place"), [("{text", 1), ("say {} now", 5), ("a }", 3)])
def test_a_single_brace_is_refused_when_the_file_is_read(template: str, place: int) -> None:
    with pytest.raises(
        ValidationError, match=f"the brace at character {place} is not part of a .field.; double it"
    ):
        TypeAdapter(Template).validate_python(template)


def test_doubled_braces_are_literal() -> None:
    template = TypeAdapter(Template).validate_python('{{"category": "{x}"}}')
    assert fields_of(template) == ("x",)
    assert fill(template, Record("a:1", {"x": "y"})) == '{"category": "y"}'
