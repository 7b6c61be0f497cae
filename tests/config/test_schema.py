"""Editors check an experiment file by the schema as the command would."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.config.recipe import RECIPE
from tunesmith.config.document import parse_yaml
from tunesmith.config.read import dump_experiment, experiment_from
from tunesmith.config.schema import experiment_schema, schema_text

RECIPES = sorted((Path(__file__).parents[2] / "recipes").glob("*.yaml"))
SCHEMA = experiment_schema()


def faults(values: Any) -> list[str]:
    validator = jsonschema.Draft202012Validator(SCHEMA)
    return [error.json_path for error in validator.iter_errors(values)]


def recipe() -> dict[str, Any]:
    return copy.deepcopy(parse_yaml(RECIPE, "r").value)


def test_the_schema_is_a_valid_schema_of_its_draft() -> None:
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_is_right_by_the_schema(path: Path) -> None:
    assert faults(parse_yaml(path.read_text(encoding="utf-8"), str(path)).value) == []


def test_what_is_right_stays_without_a_mark_in_the_editor() -> None:
    assert faults(recipe()) == []
    assert faults(recipe() | {"variants": {"a": {"stages.0.parts.language": {"kind": "anything"}}}}) == []
    assert faults(parse_yaml(dump_experiment(experiment_from(recipe())), "dumped").value) == []


def test_a_bare_word_may_stand_for_a_kind() -> None:
    values = recipe() | {"track": ["tensorboard"]}
    values["stages"][0]["parts"] = {"language": "full"}
    assert faults(values) == []
    assert faults(recipe() | {"track": ["tensorbord"]}) == ["$.track[0]"]


@pytest.mark.parametrize(
    ("place", "value", "path"),
    [
        (["modle"], {}, "$"),
        (["model", "weights"], "fp4", "$.model.weights"),
        (["stages", 0, "optimizer", "schedule"], "cosin", "$.stages[0].optimizer.schedule"),
        (["stages", 0, "parts", "language"], {"kind": "full", "rank": 3}, "$.stages[0].parts.language"),
        (["stages", 0, "epochs"], -1, "$.stages[0].epochs"),
    ],
)
def test_what_is_wrong_is_marked_in_the_editor(place: list[str | int], value: object, path: str) -> None:
    values: Any = recipe()
    inner = values
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    assert path in faults(values)


def test_every_setting_is_explained_in_the_editor() -> None:
    classes = {"Experiment": SCHEMA, **SCHEMA["$defs"]}
    silent = [
        f"{name}.{key}"
        for name, settings in classes.items()
        for key, setting in settings.get("properties", {}).items()
        if key != "kind" and not setting.get("description")
    ]
    assert not silent
    assert SCHEMA["$defs"]["Checkpoints"]["properties"]["every"]["default"] == "1 epoch"


def test_the_text_ends_in_a_line_break_and_keeps_letters_as_they_are() -> None:
    assert schema_text().endswith("}\n")
    assert "\\u" not in schema_text()
