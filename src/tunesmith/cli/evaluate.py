"""`tunesmith evaluate`: base and tuned model on the held-out records."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from tunesmith.config.experiment import Experiment


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

    if predictions is not None or name is not None:
        _evaluate_predictions(settings, predictions, name)
    else:
        _evaluate_models(settings, base_only)


def _evaluate_models(settings: Experiment, base_only: bool) -> None:
    from rich.console import Console

    from tunesmith import api
    from tunesmith.report.terminal import print_scores, print_summary

    terminal = Console()
    evaluated = api.evaluate(settings, base_only=base_only, terminal=terminal)
    if evaluated.run is None:
        print_scores(evaluated.base, terminal)
        return
    typer.echo(f"base: {evaluated.base}")
    typer.echo(f"tuned: {evaluated.tuned}")
    print_summary(evaluated.run, terminal)


def _evaluate_predictions(settings: Experiment, predictions: Path | None, name: str | None) -> None:
    from tunesmith import api
    from tunesmith.errors import ExperimentError
    from tunesmith.report.words import with_interval

    if predictions is None or name is None:
        raise ExperimentError(
            "--predictions FILE and --name NAME go together; give both, such as --name CLIP"
        )
    evaluated = api.evaluate_predictions(settings, predictions, name, say=typer.echo)
    scores = evaluated.scores
    primary = scores.metrics.get(scores.primary)
    if primary is not None:
        typer.echo(
            f"{name}: {scores.primary} {with_interval(primary)} on {scores.records:,} held-out records"
        )
    if scores.unread:
        typer.echo(f"{name}: {scores.unread:,} answers could not be read (rows.jsonl says why)")
    typer.echo(f"{name}: {evaluated.folder}")
    for page in evaluated.pages:
        typer.echo(f"report: {page}")
