"""The recipe on 80 articles in the layout of the data set on the hub, with a tiny model: all its variants run."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from datasets import ClassLabel, Dataset, Features, Value

from tests.tiny import tiny_model
from tunesmith import run
from tunesmith.config.read import read_variants
from tunesmith.methods.lora import Lora

RECIPE = Path(__file__).parents[2] / "recipes" / "ag-news.yaml"
LABELS = ["World", "Sports", "Business", "Sci/Tech"]
WORDS = {
    0: "minister treaty border",
    1: "striker league goal",
    2: "profit shares bank",
    3: "chip orbit software",
}
FILLER = "reported on monday that more people than last year were there again as said before in town"


def news(rows: int, seed: int) -> Dataset:
    """Rows as fancyzhx/ag_news has them: a text, and a class label by number."""
    chance = random.Random(seed)
    labels = [row % 4 for row in range(rows)]
    texts = [
        " ".join([*chance.sample(FILLER.split(), 9), chance.choice(WORDS[label].split())]) for label in labels
    ]
    features = Features({"text": Value("string"), "label": ClassLabel(names=LABELS)})
    return Dataset.from_dict({"text": texts, "label": labels}, features=features)


@pytest.fixture
def hub(tmp_path: Path) -> Path:
    """A folder laid out as on the hub, and a model beside it."""
    data = tmp_path / "ag_news" / "data"
    data.mkdir(parents=True)
    news(64, 0).to_parquet(data / "train-00000-of-00001.parquet")
    news(16, 1).to_parquet(data / "test-00000-of-00001.parquet")
    tiny_model(tmp_path / "model")
    return tmp_path


def small(folder: Path) -> list[str]:
    """Overrides that leave the recipe as it is, but for where its model and data are, and how much of it runs."""
    return [
        f"model.path={folder / 'model'}",
        "model.device=cpu",
        f"data.source.path={folder / 'ag_news'}",
        f"data.split.holdout.path={folder / 'ag_news'}",
        "data.split.validation=8",
        "stages.0.batch.num_examples=8",
        "evaluate.every=4 steps",
        "evaluate.num_resamples=100",
        f"output={folder / 'runs'}",
    ]


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["full", "lora", "qlora"])
def test_every_variant_runs_on_data_of_the_same_form(hub: Path, variant: str) -> None:
    experiment = read_variants(RECIPE, small(hub))[variant]
    folder = run(experiment, RECIPE.parent, variant)
    scores = json.loads((folder / "evaluation" / "scores.json").read_text())
    assert scores["records"] == 16
    assert scores["labels"] == LABELS
    assert {"accuracy", "f1_macro", "f1/World", "f1/Sci/Tech"} <= set(scores["metrics"])
    row = json.loads((folder / "evaluation" / "rows.jsonl").read_text().splitlines()[0])
    assert row["asked"].startswith("Classify the following news article:\n\n")
    assert json.loads(row["reference"]) in [{"category": label} for label in LABELS]
    assert (folder / "report.html").exists()


def test_the_settings_are_those_of_the_yardstick() -> None:
    variants = read_variants(RECIPE)
    assert list(variants) == ["full", "lora", "qlora"]
    for experiment in variants.values():
        assert experiment.model.path == "Qwen/Qwen2.5-7B-Instruct"
        assert experiment.data.length.max_tokens == 512
        assert experiment.data.split.holdout.split == "test"
    methods = {name: experiment.stages[0].parts["language"] for name, experiment in variants.items()}
    assert methods["full"].kind == "full"
    lora = methods["lora"]
    assert isinstance(lora, Lora)
    assert (lora.rank, lora.alpha, lora.targets) == (16, 32, "attention")
    assert methods["qlora"] == lora
    assert [experiment.model.weights for experiment in variants.values()] == ["bf16", "bf16", "nf4"]
