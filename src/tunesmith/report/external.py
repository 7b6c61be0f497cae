"""Predictions from elsewhere on a run's page: the tuned model compared with each of them."""

from __future__ import annotations

from dataclasses import dataclass

from tunesmith.errors import TunesmithError
from tunesmith.evaluate.changes import Change
from tunesmith.evaluate.ranking import rank
from tunesmith.evaluate.scores import Score
from tunesmith.report import summary
from tunesmith.report.run_folder import RunView

_TUNED = "tuned"


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
    shown = {it.scores.evaluation: it for it in run.external if primary in it.scores.metrics}
    changes: dict[str, Change] = {}
    notice = ""
    if run.tuned is not None and shown:
        rows = {name: evaluated.rows for name, evaluated in shown.items()} | {_TUNED: run.tuned.rows}
        experiment = run.experiment
        settings = experiment.evaluate.model_copy(update={"metric": primary, "metrics": []})
        try:
            ranking = rank(rows, experiment.task, settings, experiment.seed, target=_TUNED)
            changes = {first: change for (first, _), change in ranking.pairs.items()}
        except TunesmithError as error:
            notice = str(error)
    return [
        ExternalRow(name, it.scores.metrics[primary], it.scores.unread, changes.get(name), notice)
        for name, it in shown.items()
    ]
