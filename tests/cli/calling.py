"""Calls of the command line as a user makes them, in this process."""

from __future__ import annotations

import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from unittest.mock import patch

from tunesmith.cli.main import main


@dataclass(frozen=True)
class Ended:
    """How a call ended, and what it printed."""

    code: int
    out: str
    err: str


def call(*arguments: str | Path) -> Ended:
    """Run `tunesmith` with these arguments, without a terminal."""
    out, err = StringIO(), StringIO()
    with (
        patch.object(sys, "argv", ["tunesmith", *map(str, arguments)]),
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        try:
            main()
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
    return Ended(code, out.getvalue(), err.getvalue())
