"""Fields by name and by dotted path."""

from __future__ import annotations

import doctest
from typing import Any

import pytest

from tunesmith.images.picture import Picture
from tunesmith.records import fields
from tunesmith.records.fields import value_at


def test_the_examples_in_the_docstrings_are_true() -> None:
    assert doctest.testmod(fields).failed == 0


def test_a_path_leads_into_objects_lists_and_fields_with_dots() -> None:
    columns = {"objects": {"bbox": [[1, 2, 3, 4]]}}
    assert value_at(columns, "objects.bbox") == [[1, 2, 3, 4]]
    rows = {"objects": [{"at": {"box": [1, 2, 3, 4]}}, {"at": {"box": [5, 6, 7, 8]}}]}
    assert value_at(rows, "objects.at.box") == [[1, 2, 3, 4], [5, 6, 7, 8]]
    assert value_at({"objects.bbox": []}, "objects.bbox") == []


@pytest.mark.parametrize(
    ("found", "what"),
    [
        ({"object": {}}, "there is no field 'objects' (object). Did you mean 'object'?"),
        ({"objects_box": 1}, "there is no field 'objects' (objects_box). Did you mean 'objects_box'?"),
        ({}, "there is no field 'objects' (none)."),
        ({"objects": None}, "'objects.box': there is nothing named 'box' in 'null'"),
        (
            {"objects": {"boxes": [], "n": 1}},
            "'objects.box': 'box' is not in (boxes, n). Did you mean 'boxes'?",
        ),
        ({"objects": [{"box": []}, {"box": None}]}, "'objects.box': 'box' is null in (box)."),
        ({"objects": [3]}, "'objects.box': there is nothing named 'box' in '3'"),
        (
            {"objects": Picture("a.png", "0" * 64, 4, 3, "0" * 16)},
            "'objects.box': there is nothing named 'box' in",
        ),
    ],
)
def test_a_path_that_leads_nowhere_is_told(found: dict[str, Any], what: str) -> None:
    with pytest.raises(ValueError, match="objects") as caught:
        value_at(found, "objects.box")
    assert str(caught.value).startswith(what)
