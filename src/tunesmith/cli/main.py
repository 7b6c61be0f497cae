"""The `tunesmith` command: every other file in this folder is a subcommand, named after the file."""

from __future__ import annotations

import atexit
import errno
import gc
import importlib
import os
import pkgutil
import signal
import sys
from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any

import typer

from tunesmith import __version__, cli
from tunesmith.errors import DataError, ExperimentError, ModelError, Terminated, TunesmithError, visible

EXIT_CODES: dict[type[TunesmithError], int] = {
    TunesmithError: 1,
    ExperimentError: 2,
    DataError: 3,
    ModelError: 4,
}
"""Exit code by kind of error, as docs/commands.md tells. A wrong command line is 2, an interruption 130."""
DISK_FULL = 5


def application() -> typer.Typer:
    """The command line, with a subcommand for every file in `cli/`; none imports anything heavy."""
    app = typer.Typer(name="tunesmith", no_args_is_help=True, pretty_exceptions_enable=False)
    app.callback()(_tunesmith)
    for module in pkgutil.iter_modules(cli.__path__):
        if module.name != "main":
            command = importlib.import_module(f"{cli.__name__}.{module.name}").command
            app.command(module.name.replace("_", "-"))(interruptible(command))
    return app


def interruptible(command: Callable[..., None]) -> Callable[..., None]:
    """The command, which on Ctrl-C or SIGTERM says in one line what is kept and how to go on."""

    @wraps(command)
    def called(*arguments: Any, **options: Any) -> None:
        process = os.getpid()

        def terminate(number: int, frame: object) -> None:
            if os.getpid() != process:
                os._exit(128 + number)  # A process that was forked for reading pictures.
            raise Terminated

        before = signal.signal(signal.SIGTERM, terminate)
        try:
            command(*arguments, **options)
        except KeyboardInterrupt as stop:
            kept = "; ".join(vars(stop).get("__notes__", ["what was finished before is kept"]))
            typer.secho(
                f"interrupted: {kept}. Call the same command again to go on from there", fg="yellow", err=True
            )
            sys.exit(128 + (signal.SIGTERM if isinstance(stop, Terminated) else signal.SIGINT))
        finally:
            signal.signal(signal.SIGTERM, before)

    return called


def main() -> None:
    """Run the command line and exit with a code that tells what went wrong; see docs/commands.md."""
    # Else Python looks through all that PyTorch and transformers made for garbage once more, for a second, at the end.
    atexit.register(gc.freeze)
    try:
        application()(prog_name="tunesmith")
    except TunesmithError as error:
        _fail(str(error), DISK_FULL if _is_disk_full(error) else EXIT_CODES[type(error)])
    except Exception as error:
        if not _is_disk_full(error):
            raise
        _fail(
            f"the disk is full, nothing more could be written ({error}); free some space and run again",
            DISK_FULL,
        )


def _print_version(wanted: bool) -> bool:
    if wanted:
        typer.echo(f"tunesmith {__version__}")
        raise typer.Exit
    return wanted


def _tunesmith(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    """Fine-tune Qwen models on labelled data, and prove on held-out data what got better and what worse."""


def _fail(message: str, code: int) -> None:
    typer.secho(f"error: {visible(message)}", fg=typer.colors.RED, err=True)
    sys.exit(code)


def _is_disk_full(error: BaseException) -> bool:
    """True for the system's error, for those of libraries (safetensors, torch) that only quote it, and for one of ours
    that such an error caused."""
    if isinstance(error, TunesmithError):
        return error.__cause__ is not None and _is_disk_full(error.__cause__)
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return True
    return "No space left on device" in str(error)


if __name__ == "__main__":
    main()
