"""`tunesmith predict`: what the tuned model says of new records."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated, Literal

import typer

SETTING = re.compile(r"[a-z_]+(\.\w+)*=")


def command(
    run: Annotated[
        Path, typer.Argument(help="A run folder (runs/EXPERIMENT/VARIANT), or a stage's folder in it.")
    ],
    inputs: Annotated[
        list[str],
        typer.Argument(
            help="Data files, pictures, folders of pictures, or '-' for JSON lines on standard input; and settings to "
            "change, such as model.device=cpu."
        ),
    ],
    output: Annotated[Path | None, typer.Option(help="File to write; none is standard output.")] = None,
    form: Annotated[
        Literal["jsonl", "csv"], typer.Option("--format", help="Form of what is written.")
    ] = "jsonl",
    batch: Annotated[int, typer.Option(min=1, help="Records read, answered and written together.")] = 1024,
    field: Annotated[
        list[str] | None, typer.Option(help="NAME=VALUE of a field that the inputs do not have.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="Where the base model is now, if it moved.")] = None,
    max_new_tokens: Annotated[int | None, typer.Option(min=1, help="Longest answer in tokens.")] = None,
    on_bad_rows: Annotated[
        Literal["fail", "skip"], typer.Option(help="Whether a bad row makes the exit code 3.")
    ] = "fail",
) -> None:
    """Answer new records with what a run left: label, text or boxes of each, and probabilities where there are any."""
    from tunesmith import api
    from tunesmith.errors import ExperimentError

    without_value = [text for text in field or [] if not text.partition("=")[1]]
    if without_value:
        raise ExperimentError(f"--field {without_value[0]}: must be NAME=VALUE")
    settings = [text for text in inputs if SETTING.match(text) and not Path(text).exists()]
    given = [text for text in inputs if text not in settings]
    fields = {name: value for name, _, value in (text.partition("=") for text in field or [])}
    moved = [] if model is None else [f"model.path={json.dumps(model)}"]
    api.predict(run, given, output, form, batch, fields, [*settings, *moved], max_new_tokens, on_bad_rows)
