from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.model.families.conversations import assert_same
from tests.pipeline.pictured import pictured_experiment
from tests.pipeline.small import lora_stage, small_experiment
from tunesmith import load_experiment
from tunesmith.batching.collator import collate
from tunesmith.pipeline import example_cache as kept_room
from tunesmith.pipeline import stage_examples
from tunesmith.pipeline.context import RunContext
from tunesmith.train.examples import Rendered

VARIANTS = {
    "qlora": {"model.weights": "bf16", "stages.0.epochs": 7, "seed": 99},
    "all": {"stages.0.loss_on": "all"},
    "asked": {"task.prompt": "What? {text}"},
    "few": {"stages.0.balance": {"per_class": 20}},
    "short": {"data.length": {"max_tokens": 31, "over": "drop"}},
    "some": {"stages.0.where": "stage == 1"},
}


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(kept_room, "LEAST", 1)
    return small_experiment(tmp_path / "kept", stages=[lora_stage()], variants=VARIANTS)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Stages whose examples are made and not found."""
    stages: list[str] = []
    make = stage_examples._rendered

    def watched(steps: RunContext, stage: object) -> Rendered:
        stages.append(steps.variant)
        return make(steps, stage)

    monkeypatch.setattr(stage_examples, "_rendered", watched)
    return stages


def rendered(path: Path, variant: str = "main", *overrides: str) -> Rendered:
    experiment = load_experiment(path, overrides, None if variant == "main" else variant)
    steps = RunContext(experiment, path.parent, variant, say=lambda text: None)
    return stage_examples.stage_examples(steps, experiment.stages[0])[0]


def test_another_variant_that_differs_in_weights_and_length_of_training_renders_nothing(
    path: Path, made: list[str]
) -> None:
    first, second = rendered(path), rendered(path, "qlora")
    assert made == ["main"]
    assert_same(first.examples, second.examples)
    assert first.examples.lengths.tolist() == second.examples.lengths.tolist()
    on_disk = (values for example in second.examples for values in (example.tokens, example.trained))
    assert all(isinstance(values, np.memmap) for values in on_disk)


def test_kept_examples_make_the_same_batches_as_those_just_made(path: Path) -> None:
    first, second = rendered(path), rendered(path)
    one, other = (collate(list(found.examples[:9])) for found in (first, second))
    assert torch.equal(one.tokens, other.tokens)
    assert torch.equal(one.predicting, other.predicting)


@pytest.mark.parametrize("variant", ["all", "asked", "few", "short", "some"])
def test_what_changes_the_examples_makes_them_anew(path: Path, made: list[str], variant: str) -> None:
    first = rendered(path)
    second, again = rendered(path, variant), rendered(path, variant)
    assert made == ["main", variant]
    assert_same(second.examples, again.examples)
    assert second.too_long == again.too_long
    some, others = (
        [(one.record, one.tokens.tolist(), one.trained.tolist()) for one in found.examples]
        for found in (first, second)
    )
    assert some != others


@pytest.mark.parametrize("file", [*kept_room.FILES, "key.json"])
@pytest.mark.parametrize("damage", ["cut", "changed", "gone"])
def test_a_damaged_file_is_noticed_and_made_anew(path: Path, made: list[str], file: str, damage: str) -> None:
    first = rendered(path)
    (found,) = path.parent.glob("**/examples-*/" + file)
    content = bytearray(found.read_bytes())
    content[-2] ^= 1
    found.unlink() if damage == "gone" else found.write_bytes(content[:-1] if damage == "cut" else content)
    assert_same(rendered(path).examples, first.examples)
    assert_same(rendered(path).examples, first.examples)
    assert made == ["main", "main"]


def test_pictures_are_found_again_wherever_the_command_is_given(
    tmp_path: Path, made: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_room, "LEAST", 1)
    path = pictured_experiment(tmp_path / "kept")
    first = rendered(path)
    monkeypatch.chdir(path.parent)
    second = rendered(Path(path.name), "main", f"output={tmp_path / 'kept' / 'runs'}")
    assert_same(first.examples, second.examples)
    assert made == ["main"]
    assert all(placed.picture.file.is_file() for placed in second.examples.all_placed)


def test_few_records_are_not_kept(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_room, "LEAST", 1000)
    rendered(path)
    assert not list(path.parent.glob("**/examples-*"))
