"""From an experiment to a page of evidence: the five steps in order."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console as Terminal

from tunesmith.config.experiment import Experiment, Model
from tunesmith.config.read import refuse_unchosen
from tunesmith.pipeline.claim import claimed
from tunesmith.pipeline.context import MAIN, RunContext
from tunesmith.pipeline.evaluation import baseline, evaluation
from tunesmith.pipeline.preflight import check
from tunesmith.pipeline.stage import train
from tunesmith.report.page import write_report
from tunesmith.runs.sealing import is_sealed, seal


def run(
    experiment: Experiment, where: Path = Path(), variant: str = MAIN, terminal: Terminal | None = None
) -> Path:
    """Prepare, baseline, train, evaluate, report; gives the run folder. What is done and unchanged is not done again,
    and an interrupted run continues where it was. With other settings it is another run, in a folder of its own.

    `where` is the folder that data and model may be named relative to; the run folder stands in
    `experiment.output`, relative to the current folder. Raises ExperimentError, DataError or
    ModelError, each with a message for the user; ExperimentError too if another process is at work on this run.
    """
    refuse_unchosen(experiment)
    terminal = terminal or Terminal()
    label = "" if variant == MAIN else f" ({variant}, {precision_in_words(experiment.model)})"
    context = RunContext(
        experiment,
        where,
        variant,
        say=lambda text: terminal.print(f"{text}{label}", style="bold", markup=False, soft_wrap=True),
    )
    check(context)
    with claimed(context) as folder:
        was_finished = context.is_finished
        if was_finished:
            context.say(f"finished before, with the same settings: {folder.path}")
        baseline(context)
        trained = train(context, terminal)
        evaluation(context, trained.folder, trained.fingerprint)
        if not was_finished or not is_sealed(folder.path):
            seal(folder.path)
        if not was_finished or not (folder.path / "report.html").exists():
            write_report(folder.path)
    return folder.path


def precision_in_words(model: Model) -> str:
    """The precision of the weights: `nf4`, or `language nf4, vision bf16` where parts have their own.

    >>> precision_in_words(Model(path="x", weights={"language": "nf4"}))
    'language nf4, the rest bf16'
    """
    if isinstance(model.weights, str):
        return model.weights
    return ", ".join([*(f"{part} {weights}" for part, weights in model.weights.items()), "the rest bf16"])
