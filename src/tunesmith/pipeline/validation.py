"""Evaluations on validation records during training, which decide the best checkpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tunesmith.errors import ExperimentError
from tunesmith.evaluate.defaults import primary_metric
from tunesmith.model.loaded import LoadedModel
from tunesmith.pipeline.context import RunContext
from tunesmith.pipeline.evaluation import score_validation
from tunesmith.records.record import Record
from tunesmith.records.sampling import fixed_sample
from tunesmith.train.stages import Judge


def build_judge(run: RunContext, loaded: LoadedModel) -> Judge | None:
    """The judge that scores `loaded` on validation records; None without evaluations during training."""
    settings, records = run.experiment.evaluate, validation_records(run)
    if settings.every is None:
        return None
    metric, better = primary_metric(run.experiment.task, settings)

    def measure() -> Mapping[str, float]:
        scores = score_validation(run, loaded, records)
        return {name: score.value for name, score in scores.metrics.items()}

    return Judge(measure, metric, better, settings.every, settings.patience)


def validation_records(run: RunContext) -> Sequence[Record]:
    """The records of evaluations during training; empty without such evaluations.

    ExperimentError if they are asked for and there are no validation records.
    """
    settings = run.experiment.evaluate
    if settings.every is None:
        return ()
    count, seed = settings.max_validation_records, run.experiment.seed
    records = fixed_sample(run.prepared.records("validation"), count, seed)
    if not records:
        raise ExperimentError(
            "evaluate.every: there are no validation records to evaluate on; set data.split.validation to a share "
            "or a number above 0, or leave evaluate.every out"
        )
    return records
