"""Predictions from elsewhere on a run's page: the tuned model compared with each of them."""

from __future__ import annotations

from dataclasses import dataclass

from tunesmith.errors import TunesmithError
from tunesmith.evaluate.changes import Change, corrected_together
from tunesmith.evaluate.compare import compare_rows
from tunesmith.evaluate.scores import Score
from tunesmith.report import summary
from tunesmith.report.run_folder import RunView


@dataclass(frozen=True)
class ExternalRow:
    """Predictions from elsewhere, by the primary metric."""

    name: str
    score: Score
    unread: int
    change: Change | None
    """From these predictions to the tuned model, corrected for all that are shown; None before there is one."""
    notice: str = ""
    """Why there is no change though there is a tuned model."""


def external_rows(run: RunView) -> list[ExternalRow]:
    """A row for all predictions that have the primary metric, in the order of their names."""
    primary = summary.primary(run)
    shown = [one for one in run.external if primary in one.scores.metrics]
    changes: list[Change | None] = [None] * len(shown)
    notice = ""
    if run.tuned is not None and shown:
        experiment = run.experiment
        settings = experiment.evaluate.model_copy(update={"metric": primary, "metrics": []})
        try:
            compared = [
                compare_rows(one.rows, run.tuned.rows, experiment.task, settings, experiment.seed)
                for one in shown
            ]
            changes = [*corrected_together([one.metrics[primary] for one in compared])]
        except TunesmithError as error:
            notice = str(error)
    return [
        ExternalRow(one.scores.evaluation, one.scores.metrics[primary], one.scores.unread, change, notice)
        for one, change in zip(shown, changes, strict=True)
    ]
