"""`tunesmith merge`: what training left as one complete model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer


def command(
    run: Annotated[
        Path, typer.Argument(help="A run folder (runs/EXPERIMENT/VARIANT), or a stage's folder in it.")
    ],
    output: Annotated[Path, typer.Argument(help="The folder to write.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(help="Settings to change, such as model.device=cpu.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="Where the base model is now, if it moved.")] = None,
) -> None:
    """Write base and adapter as one transformers folder, and prove that it answers as both did."""
    from tunesmith import api

    moved = [] if model is None else [f"model.path={json.dumps(model)}"]
    typer.echo(f"merged: {api.merge(run, output, [*(overrides or []), *moved], typer.echo)}")
