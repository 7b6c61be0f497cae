"""The recipe on a few dozen ratings in the same files, with a tiny model: all its variants run."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from tests.tiny import tiny_model
from tunesmith import run
from tunesmith.config.read import read_variants
from tunesmith.methods.lora import Lora

RECIPE = Path(__file__).parents[2] / "recipes" / "movie-yesno.yaml"


@pytest.fixture
def films(tmp_path: Path) -> Path:
    """Ratings, films and users in RecBole's files, and a model beside them."""
    chance = random.Random(0)
    data = tmp_path / "films"
    data.mkdir()
    names = ["".join(chance.choices("abcdefghijklmnop", k=7)).title() for _ in range(30)]
    rows = [f"{film}\t{name}\t{1960 + film}\tDrama" for film, name in enumerate(names)]
    lines = {"item": ["item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq", *rows]}
    lines["user"] = ["user_id:token\tage:token\tgender:token\toccupation:token"]
    lines["inter"] = ["user_id:token\titem_id:token\trating:float\ttimestamp:float"]
    for user in range(12):
        lines["user"].append(f"{user}\t{20 + user}\tF\twriter")
        for time, film in enumerate(chance.sample(range(30), 8)):
            lines["inter"].append(f"{user}\t{film}\t{chance.randint(1, 5)}\t{1000 * user + time}")
    for ending, text in lines.items():
        (data / f"small.{ending}").write_text("\n".join(text) + "\n")
    tiny_model(tmp_path / "model", "qwen3")
    return tmp_path


def small(folder: Path) -> list[str]:
    """Overrides that leave the recipe as it is, but for where its model and data are, and how much of it runs."""
    return [
        f"model.path={folder / 'model'}",
        "model.device=cpu",
        f"data.source.path={folder / 'films'}",
        "data.split.holdout=0.25",
        "data.split.validation=0.2",
        "stages.0.epochs=1",
        "evaluate.every=2 steps",
        "evaluate.num_resamples=100",
        f"output={folder / 'runs'}",
    ]


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["lora", "qlora", "full"])
def test_every_variant_runs_on_data_of_the_same_form(films: Path, variant: str) -> None:
    experiment = read_variants(RECIPE, small(films))[variant]
    folder = run(experiment, RECIPE.parent, variant)
    scores = json.loads((folder / "evaluation" / "scores.json").read_text())
    assert scores["records"] > 0
    assert scores["labels"] == ["Yes", "No"]
    assert {"accuracy", "f1"} <= set(scores["metrics"])
    rows = [json.loads(line) for line in (folder / "evaluation" / "rows.jsonl").read_text().splitlines()]
    assert {row["reference"] for row in rows} <= {"Yes", "No"}
    assert "Will this viewer like the film " in rows[0]["asked"]
    assert ": liked\n" in "".join(row["asked"] for row in rows)
    assert (folder / "report.html").exists()


def test_the_settings_are_those_of_the_yardstick() -> None:
    variants = read_variants(RECIPE)
    assert list(variants) == ["lora", "qlora", "full"]
    lora = variants["lora"]
    method, stage = lora.stages[0].parts["language"], lora.stages[0]
    assert lora.model.path == "Qwen/Qwen3-0.6B"
    assert isinstance(method, Lora)
    assert (method.rank, method.alpha, method.dropout, method.targets) == (16, 64, 0.05, "all")
    assert (stage.batch.num_examples, stage.optimizer.learning_rate, stage.optimizer.warmup) == (
        16,
        1.5e-4,
        0.03,
    )
    assert (stage.optimizer.schedule, stage.optimizer.betas) == ("cosine", (0.9, 0.999))
    assert lora.data.length.max_tokens == 1024
    assert (str(lora.evaluate.every), lora.evaluate.max_validation_records, lora.evaluate.patience) == (
        "2000 steps",
        1000,
        3,
    )
    assert [experiment.model.weights for experiment in variants.values()] == ["bf16", "nf4", "bf16"]
