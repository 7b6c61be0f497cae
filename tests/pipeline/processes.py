"""The `tunesmith` command in processes that a test may kill. They are forked from one that has imported everything and
done nothing, which spares each of them the seconds that the imports of PyTorch and transformers take."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path

from tunesmith.cli.main import main

_FORKED = multiprocessing.get_context("forkserver")
_FORKED.set_forkserver_preload(
    [
        *("tests.pipeline.processes", "tunesmith.pipeline.run", "tunesmith.report.compare", "pandas", "peft"),
        *("transformers.models.qwen2.modeling_qwen2", "transformers.models.qwen2_vl.modeling_qwen2_vl"),
    ]
)


def start(said: Path, *arguments: str | Path) -> BaseProcess:
    """A process that runs `tunesmith` with these arguments and writes what it prints to a file."""
    process = _FORKED.Process(target=_run, args=(said, tuple(map(str, arguments))), daemon=True)
    process.start()
    return process


def finish(path: Path) -> None:
    """Run an experiment to its end."""
    said = path.parent / "said.txt"
    process = start(said, "run", path)
    process.join(120)
    assert process.exitcode == 0, said.read_text()


def kill_when(reached: Callable[[Path], bool], path: Path) -> None:
    """Run an experiment and kill it as soon as its folder shows that some instant is reached."""
    said = path.parent / "said.txt"
    process = start(said, "run", path)
    while process.is_alive() and not reached(path.parent):
        time.sleep(0.002)
    process.kill()
    process.join()
    # An instant that passes unseen lets it come to its end.
    assert process.exitcode in (-signal.SIGKILL, 0), said.read_text()


def stop_when(reached: Callable[[Path], bool], path: Path, number: signal.Signals) -> tuple[int | None, str]:
    """Run an experiment and send it a signal as soon as its folder shows that some instant is reached: its exit code,
    and what it printed."""
    said = path.parent / "said.txt"
    process = start(said, "run", path)
    while process.is_alive() and not reached(path.parent):
        time.sleep(0.002)
    os.kill(process.pid or 0, number)
    process.join()
    return process.exitcode, said.read_text()


def _run(said: Path, arguments: tuple[str, ...]) -> None:
    file = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(file, 1)
    os.dup2(file, 2)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # A shell's background jobs ignore it.
    sys.argv = ["tunesmith", *arguments]
    main()
