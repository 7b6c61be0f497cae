"""The recipe on a few dozen questions about pictures of noise, with a tiny model: all its variants run."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.tiny import tiny_seeing_model
from tunesmith import run
from tunesmith.config.read import read_variants
from tunesmith.files import read_json
from tunesmith.methods.lora import Lora

RECIPE = Path(__file__).parents[2] / "recipes" / "surgical-vqa.yaml"
QUESTIONS = {
    1: ("Is the picture sharp?", ("Yes", "No")),
    2: ("How many polyps are in the picture?", ("0", "1", "2")),
    3: ("What should be done about the finding?", ("biopsy", "removal of the polyp", "nothing")),
}
"""Question and possible answers by stage."""
STAGES: dict[str, dict[str, tuple[int, ...]]] = {
    "random": {"adapt": (1, 2, 3)},
    "reordered": {"adapt": (1, 2, 3)},
    "sequential-1": {"adapt": (1,)},
    "sequential-2": {"adapt": (2,)},
    "sequential-3": {"adapt": (3,)},
    "curriculum": {"quality": (1,), "findings": (2,), "clinical": (3,)},
}
"""Stages of the data that each stage of training sees, by variant."""


@pytest.fixture(scope="module")
def clinic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Questions in a JSON file, pictures named by their ids, and a model beside them."""
    folder = tmp_path_factory.mktemp("surgical")
    (folder / "images").mkdir()
    chance = np.random.default_rng(0)
    rows = []
    for number in range(24):
        spots = Image.fromarray(chance.integers(0, 256, (6, 6, 3), dtype=np.uint8))
        size = (int(chance.integers(90, 160)), int(chance.integers(60, 120)))
        spots.resize(size, Image.Resampling.BICUBIC).save(folder / "images" / f"cl{number:03}.jpg")
        for stage, (question, answers) in QUESTIONS.items():
            answer = answers[int(chance.integers(len(answers)))]
            rows.append(
                {"image_id": f"cl{number:03}", "question": question, "answer": answer, "stage": stage}
            )
    (folder / "questions.json").write_text(json.dumps(rows))
    tiny_seeing_model(folder / "model", "qwen2_vl")
    return folder


def small(folder: Path) -> list[str]:
    """Overrides that leave the recipe as it is, but for where its model and data are, and how much of it runs."""
    return [
        f"model.path={folder / 'model'}",
        "model.device=cpu",
        f"data.source.path={folder / 'questions.json'}",
        f"data.pictures.folder={folder / 'images'}",
        "data.split.holdout=0.25",
        "evaluate.num_resamples=100",
        f"output={folder / 'runs'}",
    ]


@pytest.mark.slow
@pytest.mark.parametrize("variant", STAGES)
def test_every_variant_runs_on_data_of_the_same_form(clinic: Path, variant: str) -> None:
    experiment = read_variants(RECIPE, small(clinic))[variant]
    folder = run(experiment, RECIPE.parent, variant)
    for stage in STAGES[variant]:
        parts = read_json(folder / "stages" / stage / "parts.json")
        assert {part["part"]: part["method"] for part in parts if part["trained"]} == {"language": "lora"}
        assert (folder / "stages" / stage / "adapter" / "adapter_config.json").exists()
    scores = read_json(folder / "evaluation" / "scores.json")
    assert {"exact_match", "token_f1", "bleu", "rouge_l"} <= set(scores["metrics"])
    assert {name: list(groups) for name, groups in scores["by"].items()} == {
        "stage": ["1", "2", "3"],
        "answer type": ["open", "yes/no"],
    }
    assert all(group["records"] == scores["records"] // 3 for group in scores["by"]["stage"].values())
    assert "exact_match" in scores["by"]["stage"]["3"]["metrics"]
    assert (folder / "report.html").exists()


@pytest.mark.slow
def test_a_stage_of_the_curriculum_starts_from_the_adapter_before(clinic: Path) -> None:
    experiment = read_variants(RECIPE, small(clinic))["curriculum"]
    folder = run(experiment, RECIPE.parent, "curriculum")
    lineage = read_json(folder / "lineage.json")
    assert [one["started_from"] for one in lineage] == ["base", "quality", "findings"]
    assert len({one["left"] for one in lineage}) == 3


def test_the_settings_are_those_of_the_yardstick() -> None:
    variants = read_variants(RECIPE)
    assert list(variants) == list(STAGES)
    for name, experiment in variants.items():
        assert (experiment.model.path, experiment.model.weights) == ("Qwen/Qwen2-VL-7B-Instruct", "bf16")
        assert experiment.model.pixels.longest_side == 448
        assert experiment.model.checkpointing == "auto"
        assert [stage.name for stage in experiment.stages] == list(STAGES[name])
        for stage in experiment.stages:
            method = stage.parts["language"]
            assert isinstance(method, Lora)
            assert (method.rank, method.alpha, method.dropout, method.bias) == (32, 64, 0.05, "none")
            assert (list(stage.parts), method.targets) == (["language"], "all")
            assert (stage.epochs, stage.batch.num_examples) == (3, 16)
            optimizer = stage.optimizer
            assert (optimizer.learning_rate, optimizer.weight_decay) == (5e-6, 0.01)
            assert (optimizer.schedule, optimizer.warmup) == ("linear", 0)
    orders = [experiment.stages[0].order for experiment in variants.values()]
    assert orders == ["shuffled", "stage", *["shuffled"] * 4]
