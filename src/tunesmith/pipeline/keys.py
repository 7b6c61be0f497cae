"""Keys that decide whether two runs, stages or evaluations are the same (docs/decisions/029-run-numbers.md)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunesmith.config.experiment import Experiment, Model, Stage
from tunesmith.config.renamed import with_former_names
from tunesmith.evaluate.defaults import primary_metric
from tunesmith.pipeline.folder import files_key, key_of

MEASURING = {"engine", "metric", "metrics", "max_test_records", "num_resamples", "by"}
"""Settings of `evaluate` that decide what an evaluation measures; `unit` is added if it is set."""


@dataclass(frozen=True)
class RunKeys:
    """The keys of a run with certain settings, records and base model."""

    stages: Mapping[str, str]
    """Key of each stage by its name, in their order."""
    evaluation: str
    """Key of the evaluation of the last stage's result."""
    asked: str
    """Key of what the evaluations measure."""
    base: str
    """Key of the base model."""
    baseline: str
    """Key of the evaluation of the base model."""

    @staticmethod
    def of(experiment: Experiment, model: Model, checksum: str) -> RunKeys:
        """The keys of an experiment; `checksum` is that of the split."""
        base, asked = base_identity(model), asked_settings(experiment, checksum)
        stages: dict[str, str] = {}
        before: str | None = None
        for number, stage in enumerate(experiment.stages):
            start = None if stage.start == "base" else before
            before = stages[stage.name] = stage_key(experiment, stage, number, start, base, checksum)
        assert before is not None
        return RunKeys(
            stages, evaluation_key(asked, before), key_of(asked), key_of(base), key_of(asked, base)
        )

    @property
    def combined(self) -> str:
        """One key of all stages and the evaluation."""
        return key_of(list(self.stages.items()), self.evaluation)


def stage_key(
    experiment: Experiment, stage: Stage, number: int, before: str | None, base: list[Any], checksum: str
) -> str:
    """The key of everything that decides what a stage leaves.

    `before` is the key of the stage that it starts from, None for the base model; `base` identifies the base model.
    """
    settings = stage.model_dump(mode="json", exclude={"batch": {"num_workers"}, "divergence": True})
    return key_of(
        [experiment.seed, number, with_former_names(settings, "stages.*"), before],
        [base, task_key(experiment), checksum],
        [experiment.data.length.model_dump(mode="json"), _judging(experiment)],
    )


def evaluation_key(asked: list[Any], fingerprint: str) -> str:
    """The key of everything that decides what the evaluation of a stage's result measures."""
    return key_of(asked, fingerprint)


def asked_settings(experiment: Experiment, checksum: str) -> list[Any]:
    """All settings that decide what the evaluations measure, as plain values."""
    return [
        task_key(experiment),
        with_former_names(experiment.evaluate.model_dump(mode="json", include=MEASURING), "evaluate"),
        experiment.seed,
        checksum,
        *([experiment.evaluate.unit] if experiment.evaluate.unit else []),
    ]


def base_identity(model: Model) -> list[Any]:
    """All that decides what the base model is, as plain values."""
    return [model.model_dump(mode="json", exclude={"checkpointing"}), files_key(Path(model.path))]


def task_key(experiment: Experiment) -> Any:
    """The task's settings as plain values, for a key."""
    return with_former_names(experiment.task.model_dump(mode="json"), "task")


def _judging(experiment: Experiment) -> list[Any] | None:
    """What decides which checkpoint is best; None without evaluations during training."""
    settings = experiment.evaluate
    if settings.every is None:
        return None
    included = {"every", "max_validation_records", "patience", "engine"}
    named = settings.model_dump(mode="json", include=included)
    return [with_former_names(named, "evaluate"), primary_metric(experiment.task, settings)]
