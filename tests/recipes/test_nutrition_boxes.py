"""The recipe on 44 photos in the layout of the data set on the hub, with a tiny model: all its variants run."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from datasets import Dataset, Features, Image, List, Value
from PIL import Image as Pillow

from tests.tiny import tiny_seeing_model
from tunesmith import run
from tunesmith.config.read import read_variants
from tunesmith.methods.lora import Lora
from tunesmith.pipeline.context import RunContext
from tunesmith.tasks.detect import Detect

RECIPE = Path(__file__).parents[2] / "recipes" / "nutrition-boxes.yaml"
FEATURES = Features(
    {
        "image_id": Value("string"),
        "image": Image(),
        "width": Value("int64"),
        "height": Value("int64"),
        "meta": {"barcode": Value("string"), "off_image_id": Value("string"), "image_url": Value("string")},
        "objects": {
            "bbox": List(List(Value("float32"))),
            "category_id": List(Value("int64")),
            "category_name": List(Value("string")),
        },
    }
)
TRAINED = {
    "llm-only": {"adapt": {"language": "lora"}},
    "vision-only": {"adapt": {"vision": "full"}},
    "two-stage": {"vision": {"vision": "full"}, "language": {"language": "lora"}},
    "joint": {"adapt": {"vision": "lora", "language": "lora"}},
}
"""Method by stage and part, of each variant."""
LEFT = {
    "llm-only": {"adapt": {"adapter"}},
    "vision-only": {"adapt": {"weights"}},
    "two-stage": {"vision": {"weights"}, "language": {"adapter", "weights"}},
    "joint": {"adapt": {"adapter"}},
}
"""Folders that each stage leaves."""


def photos(rows: int, seed: int) -> Dataset:
    """Rows as the data set has them: a photo of a package, wider than high, with a table on it."""
    chance = np.random.default_rng(seed)
    made = []
    for number in range(rows):
        width, height = int(chance.integers(130, 200)), int(chance.integers(80, 120))
        spots = Pillow.fromarray(chance.integers(0, 256, (5, 5, 3), dtype=np.uint8))
        photo = spots.resize((width, height), Pillow.Resampling.BICUBIC)
        top, left = chance.uniform(0, 0.5, 2)
        bottom, right = np.array([top, left]) + chance.uniform(0.25, 0.5, 2)
        table = tuple(
            round(float(share * side))
            for share, side in zip((left, top, right, bottom), (width, height) * 2, strict=True)
        )
        photo.paste((255, 255, 255), table)
        stream = io.BytesIO()
        photo.save(stream, "JPEG")
        barcode = f"{seed}{number:05}"
        made.append(
            {
                "image_id": f"{barcode}_1",
                "image": {"bytes": stream.getvalue(), "path": f"{barcode}.jpg"},
                "width": width,
                "height": height,
                "meta": {"barcode": barcode, "off_image_id": "1", "image_url": "https://example.org/1.jpg"},
                "objects": {
                    "bbox": [[top, left, bottom, right]],
                    "category_id": [0],
                    "category_name": ["nutrition-table"],
                },
            }
        )
    return Dataset.from_list(made, features=FEATURES)


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder laid out as on the hub, and a model beside it."""
    folder = tmp_path_factory.mktemp("nutrition")
    data = folder / "nutrition-table-detection" / "data"
    data.mkdir(parents=True)
    photos(32, 1).to_parquet(data / "train-00000-of-00001.parquet")
    photos(12, 2).to_parquet(data / "val-00000-of-00001.parquet")
    tiny_seeing_model(folder / "qwen2-vl", "qwen2_vl")
    return folder


def small(folder: Path) -> list[str]:
    """Overrides that leave the recipe as it is, but for where its model and data are, and how much of it runs."""
    return [
        f"model.path={folder / 'qwen2-vl'}",
        "model.device=cpu",
        "model.pixels={max: 25088}",
        f"data.source.path={folder / 'nutrition-table-detection'}",
        f"data.split.holdout.path={folder / 'nutrition-table-detection'}",
        "evaluate.num_resamples=100",
        f"output={folder / 'runs'}",
    ]


@pytest.mark.slow
@pytest.mark.parametrize("variant", TRAINED)
def test_every_variant_runs_on_data_of_the_same_form(hub: Path, variant: str) -> None:
    experiment = read_variants(RECIPE, small(hub))[variant]
    folder = run(experiment, RECIPE.parent, variant)
    for stage, methods in TRAINED[variant].items():
        parts = json.loads((folder / "stages" / stage / "parts.json").read_text())
        assert {part["part"]: part["method"] for part in parts if part["trained"]} == methods
        assert {part["part"] for part in parts} == {"vision", "projector", "language"}
        left = {path.name for path in (folder / "stages" / stage).iterdir()}
        assert left & {"adapter", "model", "weights"} == LEFT[variant][stage]
    scores = json.loads((folder / "evaluation" / "scores.json").read_text())
    assert scores["records"] == 12
    assert {"iou", "iou_median", "detection_rate", "iou_over_50", "iou_over_70"} <= set(scores["metrics"])
    comparison = json.loads((folder / "evaluation" / "comparison.json").read_text())
    assert {"iou", "detection_rate"} <= set(comparison["metrics"])
    assert "<svg" in (folder / "report.html").read_text()


@pytest.mark.slow
def test_boxes_are_read_in_the_order_of_the_data_set(hub: Path) -> None:
    experiment = read_variants(RECIPE, small(hub))["llm-only"]
    folder = run(experiment, RECIPE.parent, "llm-only")
    rows = [json.loads(line) for line in (folder / "evaluation" / "rows.jsonl").read_text().splitlines()]
    data = hub / "nutrition-table-detection" / "data" / "val-00000-of-00001.parquet"
    for row, true in zip(rows, Dataset.from_parquet(str(data)).select_columns("objects"), strict=True):
        top, left, bottom, right = true["objects"]["bbox"][0]
        assert row["boxes"] == [{"label": "nutrition table", "corners": [left, top, right, bottom]}]


def test_the_settings_are_those_of_the_yardstick() -> None:
    variants = read_variants(RECIPE)
    assert list(variants) == list(TRAINED)
    for name, experiment in variants.items():
        assert experiment.model.path == "Qwen/Qwen2-VL-7B-Instruct"
        assert experiment.data.split.holdout.split == "val"
        assert experiment.data.split.group == "meta.barcode"
        assert isinstance(experiment.task, Detect)
        assert (experiment.task.format, experiment.task.unit) == ("yxyx", "fraction")
        assert experiment.data.length.max_tokens == 2048
        for stage in experiment.stages:
            methods = {part: method.kind for part, method in stage.parts.items()}
            assert methods == TRAINED[name][stage.name]
            assert (stage.batch.num_examples, stage.epochs, stage.optimizer.schedule) == (16, 3, "cosine")
            assert 1e-5 <= stage.optimizer.learning_rate <= 2e-5
            for method in stage.parts.values():
                assert not isinstance(method, Lora) or (method.rank, method.alpha) == (64, 128)
    precisions = [experiment.model.weights for experiment in variants.values()]
    assert precisions == [{"language": "nf4"}, "bf16", "bf16", "nf4"]


def test_a_product_that_is_held_out_is_not_trained_on(hub: Path, tmp_path: Path) -> None:
    data = hub / "nutrition-table-detection" / "data"
    folder = tmp_path / "nutrition-table-detection" / "data"
    folder.mkdir(parents=True)
    held_out = photos(12, 2)
    train = photos(32, 1).to_list()
    train[5]["meta"]["barcode"] = held_out[3]["meta"]["barcode"]
    Dataset.from_list(train, features=FEATURES).to_parquet(folder / "train-00000-of-00001.parquet")
    shutil.copy(data / "val-00000-of-00001.parquet", folder)
    overrides = [
        *small(hub),
        f"data.source.path={folder.parent}",
        f"data.split.holdout.path={folder.parent}",
        f"output={tmp_path / 'runs'}",
    ]
    experiment = read_variants(RECIPE, overrides)["llm-only"]
    certificate = RunContext(experiment, RECIPE.parent, say=lambda text: None).prepared.certificate
    assert certificate.counts == {"train": 31, "validation": 0, "test": 12, "dropped": 1}
    assert "group" in certificate.leaks.examples[0][2]
