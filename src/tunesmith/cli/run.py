"""`tunesmith run`: the whole job."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(
    experiment: Annotated[Path, typer.Argument(help="The experiment file.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(help="Settings to change, such as seed=3 or stages.0.epochs=2.")
    ] = None,
    variant: Annotated[str | None, typer.Option(help="The variant to run.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Run every variant, then compare them.")] = False,
) -> None:
    """Prepare, baseline, train, evaluate, report; what is done and unchanged is not done again. Changed settings make
    a new run next to the old one."""
    from tunesmith.config.read import read_chosen, read_variants
    from tunesmith.errors import ExperimentError

    if every and variant:
        raise ExperimentError(f"--all runs every variant, --variant only {variant!r}; give one of the two")
    if every:
        chosen = read_variants(experiment, overrides or [])
    else:
        chosen = {"": read_chosen(experiment, overrides or [], variant)}

    from rich.console import Console

    from tunesmith import api
    from tunesmith.report.terminal import print_summary

    if len(chosen) > 1:
        api.run_variants(chosen, terminal=Console())
    else:
        (settings,) = chosen.values()
        print_summary(api.run(settings, terminal=(terminal := Console())), terminal)
