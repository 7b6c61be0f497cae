"""`tunesmith prepare`: records and split."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer


def command(
    experiment: Annotated[Path, typer.Argument(help="The experiment file.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(help="Settings to change, such as data.split.seed=3.")
    ] = None,
    variant: Annotated[str | None, typer.Option(help="The variant.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the split's certificate as JSON.")] = False,
    held_out: Annotated[
        Path | None,
        typer.Option(help="Write the held-out records there as JSON lines, for another model to answer."),
    ] = None,
) -> None:
    """Read the source, choose what is held out, look for leaks, and write the split's certificate."""
    from tunesmith.config.read import read_chosen

    settings = read_chosen(experiment, overrides or [], variant)

    from tunesmith import api

    certificate = api.prepare(settings, held_out=held_out, say=partial(typer.echo, err=json)).certificate
    if json:
        from rich.console import Console

        from tunesmith.runs.manifest import MANIFEST

        Console().print_json(data=MANIFEST.to_json(certificate))
        return
    for side, count in certificate.counts.items():
        typer.echo(f"{side:>12}: {count}")
    if certificate.bad_rows is not None and certificate.bad_rows.count:
        typer.echo(f"{'bad rows':>12}: {certificate.bad_rows.count} (left out; manifest.json names them)")
    typer.echo(f"    checksum: {certificate.checksum}")
