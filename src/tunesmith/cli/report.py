"""`tunesmith report`: the page of one run, from its files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(run: Annotated[Path, typer.Argument(help="A run folder: runs/EXPERIMENT/VARIANT.")]) -> None:
    """Write a run's report.html anew and print what it comes to."""
    from rich.console import Console

    from tunesmith import api
    from tunesmith.report.terminal import print_summary

    page = api.report(run)
    console = Console()
    print_summary(run, console)
    console.print(f"\nreport: {page}", highlight=False, soft_wrap=True)
