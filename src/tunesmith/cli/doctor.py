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
        from tunesmith import api

        topics = api.doctor()
    if json:
        data = {topic: [asdict(finding) for finding in findings] for topic, findings in topics.items()}
        terminal.print_json(data=data)
        return
    for topic, findings in topics.items():
        terminal.print(f"[bold]{topic}[/]")
        for finding in findings:
            sign = "[green]+[/]" if finding.works else "[yellow]-[/]"
            bring = f"; {finding.bring}" if finding.bring else ""
            terminal.print(f"  {sign} {finding.name:<14} {escape(finding.says + bring)}", soft_wrap=True)
