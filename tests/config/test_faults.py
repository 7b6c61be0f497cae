"""A fault says what was got, what is possible, and what was probably meant."""

from __future__ import annotations

from typing import Any

import pytest

from tests.config.recipe import RECIPE
from tunesmith.config.document import parse_yaml
from tunesmith.config.faults import Fault, raise_faults
from tunesmith.config.overrides import Override, apply_override
from tunesmith.config.read import experiment_from
from tunesmith.errors import ExperimentError

KINDS = "csv, digits, docstrings, hub, "


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        (
            "name",
            "ag news",
            "name: got 'ag news', which is not allowed. Name of the experiment and of its run folder",
        ),
        ("name", 3, "name: got 3; must be text (put it in quotes)"),
        ("seed", 1.5, "seed: got 1.5; must be a valid integer"),
        ("model.path", None, "model.path: got nothing; must be text"),
        (
            "model.weights",
            {"vision": "nf5"},
            "model.weights.vision: got 'nf5'; possible: bf16, fp32, fp8, int8, nf4, nf4-fp8. Did",
        ),
        (
            "model.weights",
            "nf5",
            "model.weights: got 'nf5'; possible: bf16, fp32, fp8, int8, nf4, nf4-fp8. Did you mean 'nf4'?",
        ),
        ("model.weights", [], "model.weights: got a list of 0; "),
        (
            "model.pixels.size",
            448,
            "model.pixels.size: got 448; must be a list. Width and height in pixels that",
        ),
        ("model.pixels.longest", 448, "possible: min, max, longest_side, size. Did you mean 'longest_side'?"),
        (
            "data.pictures.name",
            "x.jpg",
            "data.pictures.name: got 'x.jpg', which is not allowed. File of a picture, `{}`",
        ),
        (
            "stages.0.batch.max_tokens_per_microbatch",
            "Auto",
            "stages.0.batch.max_tokens_per_microbatch: got 'Auto'; must be a valid integer, or auto. Did",
        ),
        (
            "stages.0.batch.max_tokens_per_microbatch",
            -5,
            "stages.0.batch.max_tokens_per_microbatch: got -5; must be greater than or equal to 16, or auto.",
        ),
        ("model.thinking", 3, "model.thinking: got 3; must be a valid boolean"),
        (
            "model.checkpointing",
            3,
            "model.checkpointing: got 3; possible: auto, none, selective, full, offload",
        ),
        ("model.checkpointing", True, None),
        ("task", "clasify", "task: got 'clasify'; possible: "),
        ("task", None, "task: got nothing; must be a mapping of settings (answer, chat, classify"),
        (
            "task",
            {"labels": ["a"]},
            "task: got a mapping (labels), which has no kind; possible: answer, chat, classify",
        ),
        ("task.labels", 3, "task.labels: got 3; must be a list or a mapping"),
        ("task.labels", ["a"], "task.labels: got a list of 1; must have at least 2 items"),
        ("task.labels", ["a", 3], "task.labels.1: got 3; must be text (put it in quotes)"),
        ("task.labels", {"a": "b", "c": []}, "task.labels.c: got a list of 0; must be text"),
        ("task.labels", ["a", "A"], "task.labels: "),
        ("data", [], "data: got a list of 0; must be a mapping of settings"),
        ("data.split.by", 3, "data.split.by: got 3; must be a list"),
        ("data.split.holdout", "lots", f"data.split.holdout: got 'lots'; possible: {KINDS}"),
        ("data.split.holdout", -0.1, "data.split.holdout: got -0.1; must be greater than or equal to 0"),
        ("data.split.holdout", {"kind": "jsonl"}, "data.split.holdout.path: is missing. A file, a pattern"),
        ("data.split.validation", 0.95, None),
        ("data.leaks.near", 1.5, "data.leaks.near: got 1.5; must be less than or equal to 1"),
        ("stages", [], "stages: got a list of 0; must have at least 1 item"),
        ("stages", {"name": "a"}, "stages: got a mapping (name); must be a list"),
        ("stages.0.lerning_rate", 1, "stages.0.lerning_rate: no such setting; possible: name, from, parts,"),
        ("stages.0.learning_rate", 1, "Did you mean 'optimizer.learning_rate'?"),
        ("labels", ["a", "b"], "Did you mean 'task.labels'?"),
        ("stages.0.parts", {}, "stages.0.parts: got an empty mapping; must have at least 1 item"),
        (
            "stages.0.parts.language.rank",
            "x",
            "stages.0.parts.language.rank: got 'x'; must be a valid integer",
        ),
        ("stages.0.parts.vision", "lroa", "stages.0.parts.vision: got 'lroa'; possible: frozen, full, lora"),
        (
            "stages.0.parts.vision",
            {"kind": "full", "full": 1},
            "stages.0.parts.vision.full: no such setting of kind",
        ),
        ("stages.0.optimizer.betas", [0.9, 1], "stages.0.optimizer.betas.1: got 1; must be less than 1"),
        ("stages.0.optimizer.learning_rate", float("inf"), "got inf; must be a finite number"),
        (
            "evaluate.every",
            "3 hours",
            "evaluate.every: got '3 hours'; must be a number with its unit, such as",
        ),
        ("variants", ["a"], "variants: got a list of 1; must be a mapping"),
        ("variants.lora", None, "variants.lora: got nothing; must be a mapping"),
        ("variants", {"a/b": {}}, "variants: got 'a/b', which is not allowed. Overrides by name (letters,"),
    ],
)
def test_a_fault_says_what_was_got_and_what_is_possible(key: str, value: object, told: str | None) -> None:
    document = apply_override(parse_yaml(RECIPE, "r"), Override(key, value, ""))
    if told is None:
        experiment_from(document.value)
        return
    with pytest.raises(ExperimentError) as error:
        experiment_from(document.value)
    assert told in str(error.value)
    assert "\n" not in str(error.value)
    for jargon in ("pydantic", "Input", "tagged-union", "function-before", "Value error"):
        assert jargon not in str(error.value)


def test_a_missing_setting_names_the_kinds_that_are_possible() -> None:
    mapping: dict[str, Any] = parse_yaml(RECIPE, "r").value
    del mapping["data"]["source"]
    with pytest.raises(
        ExperimentError, match=rf"^data\.source: is missing; possible kinds: {KINDS}.*Where the labelled"
    ):
        experiment_from(mapping)


def test_a_long_value_is_shortened() -> None:
    mapping: dict[str, Any] = parse_yaml(RECIPE, "r").value
    with pytest.raises(ExperimentError) as error:
        experiment_from(mapping | {"seed": "x" * 1000})
    assert len(str(error.value)) < 120


def test_one_fault_stands_alone_and_many_are_counted() -> None:
    raise_faults([], "file")
    with pytest.raises(ExperimentError, match=r"^f:1: a: wrong$"):
        raise_faults([Fault("a", "wrong", "f:1"), Fault("a", "wrong", "f:1")], "file")
    with pytest.raises(ExperimentError, match=r"^file has 2 faults:\n  f:1: a: wrong\n  b: bad$"):
        raise_faults([Fault("a", "wrong", "f:1"), Fault("b", "bad")], "file")
