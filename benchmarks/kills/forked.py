"""The `tunesmith` command in forks of one process that has imported everything, which spares each the seconds that the
imports of PyTorch and transformers take."""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

PRELOADED = (
    "tunesmith.cli.main",
    "tunesmith.pipeline.run",
    "tunesmith.report.compare",
    "tunesmith.deploy.merge",
    "tunesmith.deploy.writing",
    "pandas",
    "peft",
    "transformers.models.qwen2.modeling_qwen2",
)
TICK = 1 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    """Exit code; minus the number of the signal that ended it."""
    said: str
    """What it printed, standard output and error together."""
    cpu: float
    """Seconds of processor time that were seen before the end."""

    @property
    def has_traceback(self) -> bool:
        return "Traceback (most recent call last)" in self.said

    @property
    def kind(self) -> str:
        """done, error (a message and its exit code), killed, or wrong."""
        if self.has_traceback or (self.code not in (0, 2, 3, 4, 5, 130) and self.code >= 0):
            return "wrong"
        if self.code < 0:
            return "killed"
        return "error" if self.code else "done"


def preload() -> None:
    """Import what every command needs; call it once, before the first fork."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    for name in PRELOADED:
        import_module(name)


def warm_up(run: Path) -> None:
    """Have what libraries make when they are first used (patterns, templates, tables), so that forks have it."""
    from tunesmith.deploy.loading import load_result
    from tunesmith.report.page import write_report

    load_result(run).predict([{"text": "the apple"}])
    write_report(run)


def call(
    where: Path,
    *arguments: str | Path,
    kill_at: float | None = None,
    limit: float = 600,
    before: Callable[[], None] | None = None,
) -> Ended:
    """Run `tunesmith` with these arguments in a folder. It is killed by SIGKILL as soon as it has used so many seconds
    of processor time, or (`limit`) after so many seconds. `before` is called in the new process first."""
    said = where / "said.txt"
    process = os.fork()
    if process == 0:
        _become(where, said, [str(one) for one in arguments], before)
    start, used, status = time.monotonic(), 0.0, None
    while status is None:
        found, raw = os.waitpid(process, os.WNOHANG)
        if found:
            status = raw
            break
        used = _cpu(process)
        if time.monotonic() - start > limit or (kill_at is not None and used >= kill_at - TICK):
            # The clock of processes ticks a hundred times a second: the rest is waited for.
            time.sleep(max(0.0, kill_at - used) if kill_at is not None else 0)
            os.kill(process, signal.SIGKILL)
            _, status = os.waitpid(process, 0)
            break
        time.sleep(0.002)
    code = os.waitstatus_to_exitcode(status)
    return Ended(code, said.read_text("utf-8", "replace"), used)


def _become(where: Path, said: Path, arguments: list[str], before: Callable[[], None] | None) -> None:
    """Be the command, to the end of the process."""
    code = 1
    try:
        file = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, 1)
        os.dup2(file, 2)
        os.chdir(where)
        sys.argv = ["tunesmith", *arguments]
        if before is not None:
            before()
        from tunesmith.cli.main import main

        main()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _cpu(process: int) -> float:
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return (int(fields[11]) + int(fields[12])) * TICK
