"""`tunesmith doctor`: what this machine has."""

from __future__ import annotations

from typing import Annotated

import typer


def command(
    json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Say what this machine has (devices, kernels, quantisation, pictures, trackers) and how to get the rest."""
    from dataclasses import asdict

    from rich.console import Console
    from rich.markup import escape

    terminal = Console(highlight=False)
    with Console(stderr=True).status("Trying out what is there"):
        from tunesmith.doctor.machine import survey

        found = survey()
    if json:
        terminal.print_json(
            data={topic: [asdict(one) for one in findings] for topic, findings in found.items()}
        )
        return
    for topic, findings in found.items():
        terminal.print(f"[bold]{topic}[/]")
        for one in findings:
            sign = "[green]+[/]" if one.works else "[yellow]-[/]"
            bring = f"; {one.bring}" if one.bring else ""
            terminal.print(f"  {sign} {one.name:<14} {escape(one.says + bring)}", soft_wrap=True)
