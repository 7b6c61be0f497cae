"""`tunesmith compare`: many runs in one table and on one page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(
    runs: Annotated[
        list[Path], typer.Argument(help="Run folders, or a folder with all runs of an experiment.")
    ],
    output: Annotated[Path, typer.Option(help="The page to write.")] = Path("comparison.html"),
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the comparison as JSON instead of a table.")
    ] = False,
) -> None:
    """Compare runs, paired on the same held-out records."""
    from rich.console import Console

    from tunesmith.report.compare import compare_folders, comparison_as_json, write_compared
    from tunesmith.report.terminal import print_comparison

    compared = compare_folders(runs, output.parent)
    page = write_compared(compared, output)
    if as_json:
        typer.echo(comparison_as_json(compared))
        return
    console = Console()
    print_comparison(compared, console)
    console.print(f"\nreport: {page}", highlight=False, soft_wrap=True)
