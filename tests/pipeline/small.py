"""A small experiment that really runs in seconds: a tiny random model learns which of two words a text holds."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from tests.tiny import tiny_model, tiny_seeing_model
from tunesmith import load_experiment
from tunesmith.pipeline.context import MAIN, RunContext

FRUIT = ["apple", "pear", "plum", "cherry", "fig"]
TOOLS = ["hammer", "axe", "drill", "file", "wrench"]
FILLER = [
    "the",
    "one",
    "that",
    "we",
    "saw",
    "near",
    "old",
    "house",
    "by",
    "road",
    "on",
    "hill",
    "under",
    "sky",
]


def write_rows(path: Path, rows: int = 300, seed: int = 0) -> None:
    """JSON lines of text and label: a fruit or a tool among filler words."""
    chance = random.Random(seed)
    with path.open("w") as file:
        for number in range(rows):
            label, words = chance.choice([("fruit", FRUIT), ("tool", TOOLS)])
            text = [chance.choice(FILLER) for _ in range(chance.randint(2, 4))]
            text.insert(chance.randrange(len(text)), chance.choice(words))
            file.write(json.dumps({"text": " ".join(text), "label": label, "stage": number % 2 + 1}) + "\n")


def small_experiment(folder: Path, **changes: Any) -> Path:
    """Write model, data and experiment file; `changes` replaces whole top-level settings."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "model").exists():
        tiny_model(folder / "model")
        write_rows(folder / "rows.jsonl")
    settings: dict[str, Any] = {
        "name": "small",
        "model": {"path": "model", "weights": "fp32", "device": "cpu"},
        "data": {
            "source": {"kind": "jsonl", "path": "rows.jsonl"},
            "split": {"holdout": 60, "validation": 40, "stratify": "label"},
            "leaks": {"near": None},
        },
        "task": {"kind": "classify", "labels": ["fruit", "tool"], "prompt": "Which? {text}"},
        "stages": [
            {
                "name": "adapt",
                "parts": {"language": {"kind": "full"}},
                "epochs": 6,
                "batch": {"num_examples": 16, "max_tokens_per_microbatch": 1024},
                "optimizer": {"learning_rate": 3e-3},
            }
        ],
        "evaluate": {"every": "10 steps", "max_validation_records": 40, "num_resamples": 200},
        "checkpoints": {"every": "5 steps"},
        "output": str(folder / "runs"),
    }
    path = folder / "small.yaml"
    writer = YAML()
    writer.representer.ignore_aliases = lambda value: True
    with path.open("w") as file:
        writer.dump(settings | changes, file)
    return path


def lora_stage(**changes: Any) -> dict[str, Any]:
    """One stage that trains an adapter with dropout, so that random states matter."""
    stage: dict[str, Any] = {
        "name": "adapt",
        "parts": {"language": {"kind": "lora", "rank": 8, "alpha": 16, "dropout": 0.1, "targets": "all"}},
        "epochs": 2,
        "batch": {"num_examples": 16, "max_tokens_per_microbatch": 256},
        "optimizer": {"learning_rate": 1e-2},
    }
    return stage | changes


QUICK = {"max_validation_records": 8, "max_test_records": 8, "num_resamples": 100, "metrics": ["accuracy"]}
"""Evaluation settings that take no time."""


def short(**changes: Any) -> dict[str, Any]:
    """A LoRA stage of two updates."""
    return lora_stage(**{"epochs": None, "steps": 2, **changes})


def steps_of(
    path: Path, *overrides: str, variant: str | None = None, said: list[str] | None = None
) -> RunContext:
    """The steps of an experiment file; what they say is added to `said`."""
    say = (lambda text: None) if said is None else said.append
    return RunContext(load_experiment(path, overrides, variant), path.parent, variant or MAIN, say=say)


def small_picture_experiment(
    folder: Path, model_type: str = "qwen2_vl", pictures: int = 600, **changes: Any
) -> Path:
    """As `small_experiment`, of digits in pictures of a few tokens: which of three is it? Those of the test side, an
    eighth as many, are other samples of handwriting."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "model").exists():
        tiny_seeing_model(folder / "model", model_type, layers=1)
    side = 64 if model_type == "qwen3_vl" else 56
    source: dict[str, Any] = {
        "kind": "digits",
        "questions": "classify",
        "digits": [0, 1, 7],
        "canvas": [side, side],
        "size": [side - 16, side - 8],
        "paper": "plain",
    }
    settings = {
        "data": {
            "ignore": ["boxes"],
            "source": source | {"pictures": pictures, "seed": 1, "samples": [0, 0.8]},
            "split": {
                "holdout": source | {"pictures": pictures // 8, "seed": 2, "samples": [0.8, 1]},
                "validation": 0,
            },
            "leaks": {"pictures": None},
        },
        "task": {"kind": "classify", "labels": ["0", "1", "7"], "pictures": ["image"], "prompt": "?"},
        "evaluate": {"num_resamples": 200},
    }
    return small_experiment(folder, **(settings | changes))
