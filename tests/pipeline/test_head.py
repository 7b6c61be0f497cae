"""A head, and classes of unlike size, through whole small runs."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.pipeline.small import FILLER, FRUIT, TOOLS, lora_stage, small_experiment
from tunesmith import run
from tunesmith.config.read import read_experiment

HEAD = {"kind": "head", "hidden": 16}
TASK: dict[str, Any] = {"kind": "classify", "labels": ["fruit", "tool"], "prompt": "Which? {text}"}
WEIGHED = {"balance": "inverse_frequency", "gamma": 1, "label_smoothing": 0.05}


def ran(folder: Path, **changes: Any) -> Path:
    path = small_experiment(
        folder, evaluate={"every": "1 epoch", "max_validation_records": 20, "num_resamples": 100}, **changes
    )
    return run(read_experiment(path), folder)


def test_a_head_is_trained_gone_on_with_and_asked_while_the_untouched_model_is_asked_in_words(
    tmp_path: Path,
) -> None:
    parts = {"language": lora_stage()["parts"]["language"], "head": {"kind": "full", "learning_rate": 2e-3}}
    first = lora_stage(name="both", parts=parts, epochs=1, loss=WEIGHED, balance={"per_class": 40})
    second = lora_stage(name="alone", parts={"head": {"kind": "full"}}, epochs=1)
    folder = ran(tmp_path, task=TASK | {"answer": HEAD}, stages=[first, second])
    names = json.loads((folder / "run.json").read_text())
    base = json.loads((folder / names["base"] / "scores.json").read_text())
    tuned = json.loads((folder / "evaluation" / "scores.json").read_text())
    assert (base["engine"], tuned["engine"]) == ("score", "head")
    parts_trained = json.loads((folder / "stages" / "alone" / "parts.json").read_text())
    assert {row["part"]: row["trained"] > 0 for row in parts_trained} == {"language": False, "head": True}
    for stage in ("both", "alone"):
        assert json.loads((folder / "stages" / stage / "head.json").read_text())["labels"] == [
            "fruit",
            "tool",
        ]
    classes = json.loads((folder / "stages" / "both" / "classes.json").read_text())
    assert (classes["counts"], classes["weights"]) == ([40, 40], [1.0, 1.0])
    log = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    begun = next(event for event in log if event["event"] == "stage_start")
    assert "weights of classes: fruit 1, tool 1" in begun["notes"]
    assert next(event for event in log if event["event"] == "update")["trained_tokens"] == 16
    assert all("recall/fruit" in event["metrics"] for event in log if event["event"] == "evaluation")
    assert "by chance" in (folder / "report.html").read_text()


def test_a_written_answer_is_weighed_by_its_class(tmp_path: Path) -> None:
    folder = ran(tmp_path, task=TASK, stages=[lora_stage(epochs=1, loss=WEIGHED)])
    classes = json.loads((folder / "stages" / "adapt" / "classes.json").read_text())
    inverse = [1 / count for count in classes["counts"]]
    assert classes["weights"] == pytest.approx([2 * one / sum(inverse) for one in inverse])
    log = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert any("weights of classes: fruit" in note for note in log[0]["notes"])


KINDS = {
    "fruit": FRUIT,
    "tool": TOOLS,
    "animal": ["cat", "dog", "horse", "bird", "fish"],
    "place": ["town", "lake", "river", "forest", "desert"],
}


def write_kinds(path: Path, sizes: Mapping[str, int], seed: int) -> None:
    """JSON lines of texts with three telling words, each of them every other time of any kind."""
    chance = random.Random(seed)
    rows = []
    for label, size in sizes.items():
        for _ in range(size):
            kinds = [label if chance.random() < 0.5 else chance.choice([*KINDS]) for _ in range(3)]
            words = [chance.choice(KINDS[kind]) for kind in kinds] + chance.choices(FILLER, k=2)
            rows.append({"text": " ".join(chance.sample(words, len(words))), "label": label})
    chance.shuffle(rows)
    path.write_text("\n".join(map(json.dumps, rows)))


@pytest.mark.slow
def test_a_balanced_loss_raises_the_f1_over_classes_and_the_rarest_class(tmp_path: Path) -> None:
    parts = {"language": lora_stage()["parts"]["language"], "head": {"kind": "full", "learning_rate": 3e-3}}
    write_kinds(tmp_path / "train.jsonl", {"fruit": 180, "tool": 90, "animal": 45, "place": 20}, 1)
    write_kinds(tmp_path / "test.jsonl", dict.fromkeys(KINDS, 150), 2)
    data = {
        "source": {"kind": "jsonl", "path": "train.jsonl"},
        "split": {"holdout": {"kind": "jsonl", "path": "test.jsonl"}, "validation": 0},
        "leaks": {"near": None, "action": "drop"},
    }
    stage = lora_stage(
        parts=parts,
        epochs=6,
        optimizer={"learning_rate": 3e-3},
        batch={"num_examples": 16, "max_tokens_per_microbatch": 1024},
    )
    ways = ("none", "inverse_frequency", "effective_number")
    path = small_experiment(
        tmp_path,
        data=data,
        task=TASK | {"labels": [*KINDS], "answer": HEAD},
        stages=[stage],
        evaluate={"num_resamples": 500, "metrics": ["f1_macro", "recall"]},
        variants={balance: {"stages.0.loss": {"balance": balance}} for balance in ways},
    )
    found = {}
    for balance in ways:
        ended = run(read_experiment(path, variant=balance), tmp_path, balance)
        found[balance] = json.loads((ended / "evaluation" / "scores.json").read_text())["metrics"]
    for balance in ("inverse_frequency", "effective_number"):
        for metric in ("f1_macro", "recall/place"):
            assert found["none"][metric]["high"] < found[balance][metric]["low"]
