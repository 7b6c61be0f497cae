"""`tunesmith evaluate`: base and tuned model on the held-out records."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(
    experiment: Annotated[Path, typer.Argument(help="The experiment file.")],
    overrides: Annotated[list[str] | None, typer.Argument(help="Settings to change, as in training.")] = None,
    variant: Annotated[str | None, typer.Option(help="The variant.")] = None,
    base_only: Annotated[
        bool, typer.Option("--base", help="Evaluate the untouched base model only.")
    ] = False,
) -> None:
    """Score the base and what training left on the held-out records, and compare them."""
    from tunesmith.config.read import read_chosen

    settings = read_chosen(experiment, overrides or [], variant)

    from rich.console import Console

    from tunesmith.pipeline.checks import check, check_settings
    from tunesmith.pipeline.steps import MAIN, Steps
    from tunesmith.pipeline.training import train, trained_result
    from tunesmith.report.terminal import print_scores, print_summary

    terminal = Console()
    steps = Steps(settings, experiment.parent, variant or MAIN, say=typer.echo)
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
