"""Settings that cannot stand together are refused beside the fields that they concern."""

from __future__ import annotations

import pytest

from tests.config.recipe import RECIPE
from tunesmith.config.document import parse_yaml
from tunesmith.config.experiment import Model
from tunesmith.config.read import experiment_from
from tunesmith.errors import ExperimentError

TWO_STAGES = "stages=[{name: a, parts: {language: lora}}, {name: a, parts: {language: full}}]"


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (["stages.0.steps=5"], "stages.0: epochs and steps are both given; keep one of them"),
        (
            ["data.split.holdout=0.5", "data.split.validation=0.5"],
            "data.split.holdout: with validation it takes 100%",
        ),
        (
            ["model.device=cpu", "model.attention=varlen"],
            "model.attention: 'varlen' needs a GPU, but model.device is",
        ),
        (
            ["evaluate.every=null"],
            "evaluate.patience: counts evaluations during a stage, but `every` is not set",
        ),
        ([TWO_STAGES], "stages.1.name: got 'a', which stages.0 has too; each stage names a folder"),
        (
            ["model.weights=int8", "stages.0.parts.language=full"],
            "stages.0.parts.language: kind 'full' trains the model's own weights, but model.weights is",
        ),
        (
            ["model.weights=fp8", "stages.0.parts.language=full"],
            "model.weights is 'fp8' and quantised weights cannot be trained; use kind 'lora'",
        ),
        (
            ["model.weights={language: fp8, vision: nf4}"],
            "model.weights: fp8 and nf4 are both named; a model has one of them",
        ),
        (
            ["model.weights={language: fp8, vision: fp32}"],
            "model.weights: fp32 goes with no other precision; use bf16 together with fp8, int8, nf4 or nf4-fp8",
        ),
        (
            ["task.answer={kind: head}", "stages.0.batch.share_prefixes=true"],
            "stages.0.batch.share_prefixes: a head looks at all tokens of an example by itself; leave it out",
        ),
        (
            ["stages.0.loss.balance=inverse_frequency", "stages.0.batch.share_prefixes=true"],
            "stages.0.batch.share_prefixes: loss.balance weights each token by the class of its example; leave one",
        ),
        (
            ["task={kind: chat}", "stages.0.loss_on=all", "stages.0.batch.share_prefixes=true"],
            "stages.0.batch.share_prefixes: loss_on is 'all', and a shared prefix ends at the first token with loss",
        ),
    ],
)
def test_what_cannot_stand_together_is_refused_where_it_stands(overrides: list[str], told: str) -> None:
    mapping = parse_yaml(RECIPE, "r").value | {"variants": {}}
    with pytest.raises(ExperimentError) as error:
        experiment_from(mapping, overrides)
    assert told in str(error.value)


def test_all_that_cannot_stand_together_in_one_class_is_told_at_once() -> None:
    mapping = parse_yaml(RECIPE, "r").value | {"variants": {}}
    with pytest.raises(ExperimentError, match=r"(?s)stages\.1\.name.*stages\.1\.parts\.language"):
        experiment_from(mapping, ["model.weights=nf4", TWO_STAGES])


@pytest.mark.parametrize(
    "overrides",
    [
        ["model.weights=nf4"],
        ["model.weights=nf4", "stages.0.parts.language=frozen"],
        ["model.weights=fp32", "stages.0.parts.language=full"],
        ["model.weights={language: nf4}", "stages.0.parts.vision=full"],
        ["model.weights={language: fp8, vision: bf16}", "stages.0.parts.vision=full"],
        ["data.split.holdout=500", "data.split.validation=500"],
        ["model.device=cpu", "model.attention=sdpa"],
        ["data.split.holdout={kind: jsonl, path: test.jsonl}"],
        ["stages.0.from=base", "stages.0.epochs=0.5"],
        ["task={kind: chat}", "stages.0.batch.share_prefixes=true"],
    ],
)
def test_what_can_stand_together_is_let_through(overrides: list[str]) -> None:
    recipe = parse_yaml(RECIPE, "r").value | {"variants": {}}
    assert experiment_from(recipe, overrides) != experiment_from(recipe)


@pytest.mark.parametrize("name", ["gpu", "GPU", "cuda:0", "CUDA"])
def test_a_gpu_may_be_called_as_elsewhere(name: str) -> None:
    assert Model(path="m", device=name).device == "cuda"  # type: ignore[arg-type]
