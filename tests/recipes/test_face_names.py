"""The recipe on 60 pictures of digits in folders, with a tiny model: all its variants run, on one held-out set."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoConfig, AutoModelForImageTextToText

from tests.tiny import tiny_seeing_model
from tunesmith import run
from tunesmith.config.read import read_variants
from tunesmith.model.families import family_of
from tunesmith.model.heads import new_head
from tunesmith.model.load import load
from tunesmith.model.loaded import LoadedModel
from tunesmith.model.trainable import make_trainable
from tunesmith.records.demo_sources.digits import Digits
from tunesmith.split.prepare import Prepared

RECIPE = Path(__file__).parents[2] / "recipes" / "face-names.yaml"
NAMES = ["Ada", "Bo", "Cy"]


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    """A folder for each name, in it one for each person, of handwritten digits; and a model beside it."""
    source = Digits(pictures=90, questions="classify", digits=[0, 1, 2], canvas=(64, 64), size=(40, 60))
    for number, record in enumerate(source.rows(tmp_path)):
        label = int(record.fields["label"])  # type: ignore[union-attr]
        if label == 2 and number % 2:
            continue
        folder = tmp_path / "faces" / NAMES[label] / f"{number // 6:03d}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number}.png").write_bytes(record.fields["image"]["bytes"])  # type: ignore[union-attr]
    tiny_seeing_model(tmp_path / "model", "qwen2_5_vl")
    return tmp_path


def small(folder: Path) -> list[str]:
    """Overrides that leave the recipe as it is, but for where its model and data are, and how much of it runs."""
    return [
        f"model.path={folder / 'model'}",
        "model.device=cpu",
        "model.pixels.size=[56, 56]",
        f"data.source.path={folder / 'faces'}",
        "data.split.holdout=18",
        "data.split.validation=6",
        "data.leaks.pictures=null",
        f"task.labels={json.dumps(NAMES)}",
        "stages.0.batch.num_examples=8",
        "stages.0.epochs=2",
        "evaluate.num_resamples=100",
        f"output={folder / 'runs'}",
    ]


@pytest.mark.slow
def test_all_variants_run_on_one_held_out_set(faces: Path) -> None:
    manifests, held_out, sizes = set(), set(), {}
    for variant, experiment in read_variants(RECIPE, small(faces)).items():
        if experiment.stages[0].balance is not None:
            balance = experiment.stages[0].balance.model_copy(update={"per_class": 9})
            stage = experiment.stages[0].model_copy(update={"balance": balance})
            experiment = experiment.model_copy(update={"stages": [stage]})
        folder = run(experiment, RECIPE.parent, variant)
        names = json.loads((folder / "run.json").read_text())
        manifests.add((folder / names["data"]).resolve())
        classes = json.loads((folder / "stages" / "adapt" / "classes.json").read_text())
        sizes[variant] = classes["counts"], classes["weights"] is not None
        scores = json.loads((folder / "evaluation" / "scores.json").read_text())
        held_out.add(scores["records"])
        assert (scores["engine"], scores["labels"]) == ("head", NAMES)
        assert {"accuracy", "f1_macro", "recall/Ada", "log_loss", "calibration_error"} <= set(
            scores["metrics"]
        )
        base = json.loads((folder / names["base"] / "scores.json").read_text())
        assert (base["records"], base["engine"]) == (scores["records"], "score")
        log = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
        judged = [event["metrics"] for event in log if event["event"] == "evaluation"]
        assert len(judged) == 2
        assert "recall/Bo" in judged[0]
        adapted = variant != "head-only"
        assert (folder / "stages" / "adapt" / "adapter").exists() == adapted
        assert load(experiment.model, folder / "stages" / "adapt").head.labels == tuple(NAMES)  # type: ignore[union-attr]
        assert "Training examples" in (folder / "report.html").read_text()
    assert len(manifests) == 1
    assert held_out <= {17, 18}  # persons are not cut in two
    people = [
        {str(record.fields["identity"]) for record in side}
        for side in map(Prepared.open(manifests.pop()).records, ("train", "validation", "test"))  # type: ignore[arg-type]
    ]
    assert not people[0] & people[2]
    assert not people[1] & people[2]
    assert sizes["balanced"] == ([9, 9, 9], False) == sizes["head-only"]
    assert max(sizes["natural"][0]) > 9
    assert sizes["natural"][1]


def test_the_settings_are_those_of_the_yardstick() -> None:
    variants = read_variants(RECIPE)
    assert list(variants) == ["balanced", "natural", "head-only"]
    for experiment in variants.values():
        assert experiment.model.path == "Qwen/Qwen2.5-VL-7B-Instruct"
        assert experiment.model.weights == "nf4"
        assert experiment.model.pixels.size == (512, 512)
        assert experiment.data.split.holdout == 9054
        assert experiment.stages[0].batch.num_examples == 2 * 16
        assert experiment.stages[0].epochs == 5
        assert len(experiment.task.labels_in_order or ()) == 30
    assert len({experiment.data.model_dump_json() for experiment in variants.values()}) == 1
    balanced, natural, _ = (experiment.stages[0] for experiment in variants.values())
    assert balanced.balance is not None
    assert (balanced.balance.per_class, balanced.loss.balance) == (1800, "none")
    assert (natural.balance, natural.loss.balance, natural.loss.beta) == (None, "effective_number", 0.999)
    assert balanced.optimizer.learning_rate == 2e-5


@pytest.mark.slow
def test_as_many_weights_are_trained_as_the_yardstick_counts() -> None:
    """On the real shape, without memory for it."""
    config = AutoConfig.for_model(
        "qwen2_5_vl",
        text_config={
            "vocab_size": 152064, "hidden_size": 3584, "intermediate_size": 18944, "num_hidden_layers": 28,
            "num_attention_heads": 28, "num_key_value_heads": 4, "tie_word_embeddings": False,
        },
        vision_config={
            "depth": 32, "hidden_size": 1280, "intermediate_size": 3420, "num_heads": 16, "out_hidden_size": 3584,
            "fullatt_block_indexes": [7, 15, 23, 31], "patch_size": 14, "window_size": 112,
        },
        tie_word_embeddings=False,
    )  # fmt: skip
    experiment = read_variants(RECIPE)["balanced"]
    task, kind = experiment.task, family_of(config.model_type)
    meta = torch.device("meta")
    with meta:
        model = AutoModelForImageTextToText.from_config(config, dtype=torch.bfloat16)
    assert task.head is not None
    head = new_head(task.head, task.labels_in_order or (), 3584, 1, meta)
    # Its parts depend on the model alone, so that it needs no tokenizer.
    loaded = LoadedModel(model, kind.__new__(kind), meta, torch.bfloat16, "sdpa", head=head)
    trainable = make_trainable(loaded, experiment.stages[0].parts, seed=1)
    trained = {row.part: row.trained for row in trainable.summary}
    layer = 2 * (3584 + 3584) + 2 * (3584 + 512) + 3 * (3584 + 18944)
    assert trained == {
        "vision": 32 * 64 * 3 * (1280 + 3420),
        "projector": 0,
        "language": 28 * 64 * layer,
        "head": (3584 + 1) * 512 + (512 + 1) * 30,
    }
    assert [round(trained[part] / 1e6, 1) for part in ("language", "vision", "head")] == [161.5, 28.9, 1.9]
    assert sum(row.total for row in trainable.summary) == pytest.approx(8.48e9, rel=0.01)
