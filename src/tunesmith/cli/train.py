"""`tunesmith train`: the training step alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(
    experiment: Annotated[Path, typer.Argument(help="The experiment file.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(help="Settings to change, such as stages.0.epochs=2.")
    ] = None,
    variant: Annotated[str | None, typer.Option(help="The variant.")] = None,
) -> None:
    """Train every stage, without baseline and evaluation; goes on where it was interrupted."""
    from tunesmith.config.read import read_chosen

    settings = read_chosen(experiment, overrides or [], variant)

    from tunesmith import api

    typer.echo(f"trained: {api.train(settings)}")
