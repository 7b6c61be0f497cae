"""A small experiment of three stages, with evaluations in training, whose whole run takes about a second."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.pipeline.small import small_experiment, write_rows
from tests.tiny import tiny_model

LABELS = ["fruit", "tool"]
HEAD = {"kind": "head", "hidden": 8, "dropout": 0.2}


def experiment(folder: Path, **changes: Any) -> Path:
    """An experiment file with its model and its rows. A new adapter with dropout is trained, then every weight, then
    another new adapter; in the variant `head` the first and the last stage train a head too."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "model").exists():
        tiny_model(folder / "model", hidden_size=16, layers=1, vocabulary=320)
        write_rows(folder / "rows.jsonl", 72)
    lora = {"kind": "lora", "rank": 2, "alpha": 4, "dropout": 0.1, "targets": "all"}
    stages = [
        stage("one", {"language": lora}, 5),
        stage("two", {"language": "full"}, 4),
        stage("three", {"language": {**lora, "start": "new"}}, 4, order="stage"),
    ]
    headed = {f"stages.{number}.parts.head": "full" for number in (0, 1, 2)}
    return small_experiment(
        folder,
        **{
            "data": {
                "source": {"kind": "jsonl", "path": "rows.jsonl"},
                "split": {"holdout": 10, "validation": 6, "stratify": "label"},
                "leaks": {"near": None},
            },
            "stages": stages,
            "evaluate": {
                "every": "2 steps",
                "max_validation_records": 6,
                "num_resamples": 100,
                "metrics": ["accuracy", "log_loss"],
            },
            "checkpoints": {"every": "2 steps", "num_to_keep": 2},
            "variants": {"plain": {}, "head": {"task.answer": HEAD, **headed}},
            "output": "runs",
            **changes,
        },
    )


def stage(name: str, parts: dict[str, Any], steps: int, **also: Any) -> dict[str, Any]:
    return {
        "name": name,
        "parts": parts,
        "steps": steps,
        "batch": {"num_examples": 8, "max_tokens_per_microbatch": 256},
        "optimizer": {"learning_rate": 1e-2},
        **also,
    }
