"""An engine's process as the benchmark sees it: it imports the engine's libraries, waits for its job, and does it."""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict
from itertools import count
from pathlib import Path
from typing import Any

from benchmarks.speed.engines import ENGINES, Job

ROOT = Path(__file__).parents[2]
STAND_IN = Path(__file__).parent / "flash_stand_in"
_NUMBERS = count()


class Process:
    """A process that was started; until it is given a job it leaves the GPU alone."""

    def __init__(self, engine: str, place: Path) -> None:
        number = next(_NUMBERS)
        self.engine = engine
        self._given, self._told = place / f"job-{number}.json", place / f"result-{number}.json"
        self._output = place / f"output-{number}.txt"
        command = [sys.executable, "-m", "benchmarks.speed.one", ENGINES[engine].file, str(self._told)]
        with self._output.open("w") as out:
            self._process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=_environment(engine, place, number),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=out,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Its number, which is that of all processes that it starts as well."""
        return self._process.pid

    def is_ready(self, limit: float) -> bool:
        """Whether within so many seconds all is imported, or the process has ended."""
        return bool(select.select([self._process.stdout], [], [], limit)[0])

    def begin(self, job: Job, deadline: float) -> None:
        """Give it its job, to be done by then. One that has died is found out when its end is waited for."""
        self._given.write_text(json.dumps(asdict(job) | {"folder": str(job.folder), "deadline": deadline}))
        assert self._process.stdin is not None
        with suppress(BrokenPipeError), self._process.stdin as word:
            word.write(f"{self._given}\n".encode())

    def has_ended(self, limit: float, beside: Process | None = None) -> bool:
        """Wait for its end, with the process `beside` halted from its first timed update on; False if it had to be
        stopped after so many seconds."""
        assert self._process.stdout is not None
        until, said = time.monotonic() + limit, b""
        while b"timing" not in said and (left := until - time.monotonic()) > 0:
            if select.select([self._process.stdout], [], [], left)[0]:
                said += (more := os.read(self._process.stdout.fileno(), 64))
                if not more:
                    break
        if beside is not None and b"timing" in said:
            beside._signal(signal.SIGSTOP)
        try:
            self._process.wait(max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            self.stop()
            return False
        finally:
            if beside is not None:
                beside._signal(signal.SIGCONT)
        self._close()
        return True

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)

    def stop(self) -> None:
        """End it and all processes that it started."""
        self._signal(signal.SIGKILL)
        self._process.wait()
        self._close()

    def _close(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with suppress(BrokenPipeError):
                pipe.close()

    @property
    def result(self) -> dict[str, Any] | None:
        """What it wrote down, if it did."""
        return json.loads(self._told.read_text()) if self._told.is_file() else None

    @property
    def said(self) -> str:
        """All that it printed."""
        return self._output.read_text(errors="replace")


class Ahead:
    """Processes of these engines, one after the other; while one trains, the next one imports its libraries."""

    def __init__(self, engines: Iterable[str], place: Path) -> None:
        self._coming, self._place = iter(engines), place
        self._started: list[Process] = []
        self._waiting: Process | None = None

    def take(self) -> Process:
        """The next one, which may still be importing."""
        self.start_next()
        assert self._waiting is not None, "more were asked for than were announced"
        process, self._waiting = self._waiting, None
        return process

    def start_next(self) -> Process | None:
        """The next one, if there is one, which has begun to import."""
        if self._waiting is None and (engine := next(self._coming, None)):
            self._waiting = Process(engine, self._place)
            self._started.append(self._waiting)
        return self._waiting

    def leave_out(self) -> None:
        """Do without the next one."""
        if self._waiting is None:
            next(self._coming)
        else:
            self._waiting.stop()
            self._waiting = None

    def __enter__(self) -> Ahead:
        """All of them end with the block, however it ends."""
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._started:
            process.stop()


def _environment(engine: str, place: Path, number: int) -> dict[str, str]:
    """The process's variables: no network, and for some engines the stand-in for flash-attn."""
    paths = [str(ROOT), str(ROOT / "src"), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    if ENGINES[engine].flash:
        paths.insert(0, str(_stand_in(place)))
    return os.environ | {
        "PYTHONPATH": os.pathsep.join(paths),
        "PYTHONUNBUFFERED": "1",
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "UNSLOTH_DISABLE_STATISTICS": "1",
        # It writes there as soon as it is imported, while another one may train.
        "UNSLOTH_COMPILE_LOCATION": str(place / f"unsloth-{number}"),
    }


def _stand_in(place: Path) -> Path:
    """A folder with the stand-in and the metadata by which libraries find flash-attn."""
    folder = place / "flash"
    if not folder.is_dir():
        shutil.copytree(STAND_IN, folder)
        stated = folder / "flash_attn-2.8.3.dist-info"
        stated.mkdir()
        (stated / "METADATA").write_text("Metadata-Version: 2.1\nName: flash-attn\nVersion: 2.8.3\n")
        (stated / "top_level.txt").write_text("flash_attn\n")
        (stated / "RECORD").write_text("flash_attn/__init__.py,,\n")
    return folder
