"""`tunesmith audit`: lengths, memory and time, before anything is trained."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer


def command(
    experiment: Annotated[Path, typer.Argument(help="The experiment file.")],
    overrides: Annotated[list[str] | None, typer.Argument(help="Settings to change.")] = None,
    variant: Annotated[str | None, typer.Option(help="The variant.")] = None,
    characters: Annotated[
        bool, typer.Option(help="Count characters: quick, and needs no tokenizer.")
    ] = False,
    max_samples: Annotated[
        int | None, typer.Option(min=1, help="Look at this many training records only.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Show what this limit would hit.")] = None,
    memory: Annotated[str | None, typer.Option(help="What must fit, as 24GiB; else the GPU's own.")] = None,
    forecast: Annotated[bool, typer.Option(help="Forecast memory and time too.")] = True,
    json: Annotated[bool, typer.Option("--json", help="Print the audit as JSON.")] = False,
) -> None:
    """Lengths of the training examples, the share that is trained, what a limit would hit, and a limit to set; then
    the memory and time that training will take, and which cards it fits. No weights are loaded."""
    from tunesmith.config.read import read_chosen

    settings = read_chosen(experiment, overrides or [], variant)

    from tunesmith import api

    audited = api.audit(
        settings,
        characters=characters,
        max_samples=max_samples,
        limit=limit,
        memory=memory,
        forecast=forecast,
        say=partial(typer.echo, err=json),
    )
    if json:
        from rich.console import Console

        Console().print_json(data=audited.to_json())
    else:
        typer.echo("\n".join(audited.lines()))
