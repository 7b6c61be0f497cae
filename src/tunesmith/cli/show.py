"""`tunesmith show`: what the model will really see."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer


def command(
    experiment: Annotated[Path, typer.Argument(help="The experiment file.")],
    overrides: Annotated[list[str] | None, typer.Argument(help="Settings to change.")] = None,
    variant: Annotated[str | None, typer.Option(help="The variant.")] = None,
    examples: Annotated[int, typer.Option("--examples", "-n", min=1, help="How many.")] = 3,
    output: Annotated[
        Path | None, typer.Option(help="Folder for drawn pictures; none is a temporary one, which is named.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the examples as JSON.")] = False,
) -> None:
    """Print a few training examples token by token: trained ones in green, the others grey, control tokens framed.
    Pictures are drawn as the model sees them, with the boxes of the answer."""
    from tunesmith.config.read import read_chosen

    settings = read_chosen(experiment, overrides or [], variant)

    from rich.console import Console

    from tunesmith import api

    terminal = Console()
    has_colours = terminal.color_system in ("256", "truecolor") and not terminal.no_color
    shown = api.show(settings, examples=examples, output=output, say=partial(typer.echo, err=json))
    if json:
        terminal.print_json(data=[example.to_json() for example in shown])
        return
    for example in shown:
        terminal.print(example.text, soft_wrap=True)
        for picture in example.pictures:
            last = picture is example.pictures[-1]
            terminal.print(picture.caption(has_colours), end="\n\n" if last else "\n", soft_wrap=True)
