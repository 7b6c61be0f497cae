"""`tunesmith schema`: the grammar of experiment files for editors."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(
    output: Annotated[Path | None, typer.Option(help="File to write; none prints it.")] = None,
) -> None:
    """Print the JSON schema of experiment files, so that editors complete and check them."""
    from tunesmith.config.schema import schema_text

    if output is None:
        typer.echo(schema_text(), nl=False)
        return
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(schema_text(), encoding="utf-8")
    typer.echo(f"{output}: written. In a YAML file's first line: # yaml-language-server: $schema={output}")
