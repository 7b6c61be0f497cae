"""`tunesmith show`: what the model will really see."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(
    experiment: Annotated[Path, typer.Argument(help="The experiment file.")],
    overrides: Annotated[list[str] | None, typer.Argument(help="Settings to change.")] = None,
    variant: Annotated[str | None, typer.Option(help="The variant.")] = None,
    examples: Annotated[int, typer.Option("--examples", "-n", min=1, help="How many.")] = 3,
) -> None:
    """Print a few training examples token by token: trained ones in green, the others grey, control tokens framed."""
    from tunesmith.config.read import read_experiment

    settings = read_experiment(experiment, overrides or [], variant)

    from rich.console import Console

    from tunesmith.pipeline.show import rendered_examples
    from tunesmith.pipeline.steps import MAIN, Steps

    terminal = Console()
    steps = Steps(settings, experiment.parent, variant or MAIN, say=typer.echo)
    for text in rendered_examples(steps, examples):
        terminal.print(text, soft_wrap=True)
