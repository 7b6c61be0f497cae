"""`tunesmith evaluate`: base and tuned model on the held-out records."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from tunesmith.pipeline.steps import Steps


def command(
    experiment: Annotated[Path, typer.Argument(help="The experiment file.")],
    overrides: Annotated[list[str] | None, typer.Argument(help="Settings to change, as in training.")] = None,
    variant: Annotated[str | None, typer.Option(help="The variant.")] = None,
    base_only: Annotated[
        bool, typer.Option("--base", help="Evaluate the untouched base model only.")
    ] = False,
    predictions: Annotated[
        Path | None,
        typer.Option(
            help="Score these answers of another model or program instead: JSON lines with id and answer."
        ),
    ] = None,
    name: Annotated[str | None, typer.Option(help="What the page calls those predictions.")] = None,
) -> None:
    """Score the base and what training left on the held-out records, and compare them."""
    from tunesmith.config.read import read_chosen

    settings = read_chosen(experiment, overrides or [], variant)

    from tunesmith.pipeline.steps import MAIN, Steps

    steps = Steps(settings, experiment.parent, variant or MAIN, say=typer.echo)
    if predictions is not None or name is not None:
        _score_predictions(steps, predictions, name)
    else:
        _score_models(steps, base_only)


def _score_models(steps: Steps, base_only: bool) -> None:
    """Score the base and, unless it is not asked for, what training left."""
    from rich.console import Console

    from tunesmith.pipeline.checks import check, check_settings
    from tunesmith.pipeline.training import train, trained_result
    from tunesmith.report.terminal import print_scores, print_summary

    terminal = Console()
    check_settings(steps)
    if base_only:
        print_scores(steps.baseline(), terminal)
        return
    # Asked first: the rest may take long, and what is not trained yet should be told at once.
    trained_result(steps)
    check(steps)
    with steps.claimed() as run:
        trained = train(steps, terminal)
        typer.echo(f"base: {steps.baseline()}")
        typer.echo(f"tuned: {steps.evaluation(trained.result, trained.fingerprint)}")
    print_summary(run.path, terminal)


def _score_predictions(steps: Steps, predictions: Path | None, name: str | None) -> None:
    """Score predictions from elsewhere and write the pages anew on which they are one more row."""
    from tunesmith.errors import ExperimentError
    from tunesmith.pipeline.predictions import evaluate_predictions
    from tunesmith.report.page import write_reports_with
    from tunesmith.report.words import with_interval

    if predictions is None or name is None:
        raise ExperimentError(
            "--predictions FILE and --name NAME go together; give both, such as --name CLIP"
        )
    folder, scores = evaluate_predictions(steps, predictions, name)
    primary = scores.metrics.get(scores.primary)
    if primary is not None:
        typer.echo(
            f"{name}: {scores.primary} {with_interval(primary)} on {scores.records:,} held-out records"
        )
    if scores.unread:
        typer.echo(f"{name}: {scores.unread:,} answers could not be read (rows.jsonl says why)")
    typer.echo(f"{name}: {folder}")
    for page in write_reports_with(folder):
        typer.echo(f"report: {page}")
