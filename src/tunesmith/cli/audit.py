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

    from rich.console import Console

    from tunesmith.pipeline.audit import as_json, audit, audited_examples, lines
    from tunesmith.pipeline.outlook import asked_gib, outlook
    from tunesmith.pipeline.steps import MAIN, Steps

    gib = asked_gib(memory, characters, forecast)
    steps = Steps(settings, experiment.parent, variant or MAIN, say=partial(typer.echo, err=json))
    # The experiment's own limit counts tokens, so it says nothing about characters.
    limit = limit or (None if characters else settings.data.length.max_tokens)
    examples = None if characters else audited_examples(steps, max_samples)
    lengths = audit(steps, characters, max_samples, limit, examples)
    memory_and_time = None
    if forecast and examples is not None:
        memory_and_time = outlook(steps, examples, gib, len(steps.prepared.records("train")))
    if json:
        Console().print_json(data=as_json(lengths, memory_and_time))
    else:
        typer.echo("\n".join(lines(lengths, memory_and_time)))
