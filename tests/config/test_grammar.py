"""The grammar knows what may stand where."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from tunesmith.config.experiment import Evaluate, Experiment, Stage
from tunesmith.config.grammar import (
    fields_of,
    kind_of,
    kinds_among,
    meaning_of,
    plain_types,
    settings_among,
    types_inside,
)
from tunesmith.config.registry import Registry

LORA, FULL = Registry("tunesmith.methods").item("lora"), Registry("tunesmith.methods").item("full")


def test_annotations_are_taken_apart() -> None:
    assert plain_types(Annotated[Annotated[int, Field(ge=1)] | str, 3] | None) == [int, str, type(None)]
    assert plain_types(list[int]) == [list[int]]


def test_fields_go_by_the_name_that_is_written() -> None:
    assert "from" in fields_of(Stage)
    assert "start" not in fields_of(Stage)
    assert meaning_of(Stage, "from") == "Start from what the stage before left, or from the base model."
    assert meaning_of(Stage, "nothing") == ""


def test_a_kind_is_one_word_on_a_registry() -> None:
    assert (kind_of(LORA), kind_of(FULL), kind_of(Evaluate)) == ("lora", "full", None)


def test_what_may_stand_inside_depends_on_the_kind_that_is_given() -> None:
    types: list[Any] = [Experiment]
    for key in ("stages", 0, "parts", "language"):
        types = types_inside(types, key, {})
    assert {"full", "lora"} <= set(kinds_among(types))
    assert {LORA, FULL} <= set(settings_among(types, {}))
    assert settings_among(types, {"kind": "lora"}) == [LORA]
    assert types_inside(types, "rank", {"kind": "full"}) == []
    assert types_inside(types, "rank", {"kind": "lora"})
