"""From an experiment to a page of evidence: the five steps in order."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console as Terminal

from tunesmith.config.experiment import Experiment
from tunesmith.pipeline.checks import check
from tunesmith.pipeline.steps import MAIN, Steps
from tunesmith.pipeline.training import train
from tunesmith.report.page import write_report


def run(
    experiment: Experiment, where: Path = Path(), variant: str = MAIN, terminal: Terminal | None = None
) -> Path:
    """Prepare, baseline, train, evaluate, report; gives the run folder. What is done and unchanged is not done again,
    and an interrupted run goes on where it was. With other settings it is another run, in a folder of its own.

    `where` is the folder that data and model may be named relative to; the run folder stands in
    `experiment.output`, relative to the current folder. Raises ExperimentError, DataError or
    ModelError, each with a message for the user; ExperimentError too if another process is at work on this run.
    """
    terminal = terminal or Terminal()
    steps = Steps(
        experiment,
        where,
        variant,
        say=lambda text: terminal.print(text, style="bold", markup=False, soft_wrap=True),
    )
    check(steps)
    with steps.claimed() as folder:
        was_finished = steps.is_finished
        steps.baseline()
        trained = train(steps, terminal)
        steps.evaluation(trained.result, trained.fingerprint)
        if not was_finished or not (folder.path / "report.html").exists():
            write_report(folder.path)
    return folder.path
