"""Processes that read pictures: decoding holds Python's lock, which the loop that feeds a GPU needs itself.

Each is a Python of its own (`python -m tunesmith.batching.decode_workers`) that takes pictures on its standard input
and gives patches on its standard output. Nothing of the program that uses tunesmith is imported there again.
"""

from __future__ import annotations

import atexit
import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from typing import Any

import numpy as np
from jaxtyping import UInt8

from tunesmith.batching.example import Placed
from tunesmith.batching.patches import empty, fill
from tunesmith.errors import DataError, counted

Patches = UInt8[np.ndarray, "_ value"]
_NUM_LISTED = 20
_AGAIN = "Put back what was there, or remove the prepared data and prepare it again."
Pipe = Any
"""A buffered stream of bytes; typeshed and the standard library do not agree on its class."""


class Readers:
    """So many processes, started when they are first needed and ended with this one."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._processes: list[subprocess.Popen[bytes]] = []
        self._lock = threading.Lock()

    def fill(self, pictures: Sequence[Placed], places: Sequence[Patches]) -> list[str | None]:
        """What is wrong with each picture's file, or None once its place holds its patches. DataError if a process
        ends before it has answered."""
        with self._lock:
            if not self._processes:
                self._processes = [_start() for _ in range(self._number)]
                atexit.register(self.close)
            ends = np.linspace(0, len(pictures), self._number + 1).round().astype(int).tolist()
            try:
                with ThreadPoolExecutor(self._number) as pool:
                    answers = [
                        pool.submit(_ask, process, pictures[start:end], places[start:end])
                        for process, start, end in zip(self._processes, ends, ends[1:], strict=False)
                        if start < end
                    ]
                    return [fault for answer in answers for fault in answer.result()]
            except (OSError, EOFError, pickle.UnpicklingError) as error:
                codes = [process.poll() for process in self._processes]
                self.close()
                raise DataError(
                    f"a process that reads pictures has ended (exit codes {codes}), perhaps for want of memory. Go on "
                    "with the same command; if it happens again, set batch.num_workers to a smaller number"
                ) from error

    def close(self) -> None:
        """End the processes; the next call starts others."""
        for process in self._processes:
            process.kill()
            # What was being written to it is lost with it.
            with suppress(BrokenPipeError), process:
                pass
        self._processes = []


@cache
def readers(number: int) -> Readers:
    """The processes of this program, the same ones for the same number."""
    return Readers(number)


def read_patches(pictures: Sequence[Placed], workers: int) -> Patches:
    """Patches of all pictures end to end, read here (one worker) or by so many processes.

    A value is a colour as it is in the picture (0 to 255): channel, row, column of a patch. Patches of one token
    stand together, tokens from left to right and top to bottom. Equal, pixel by pixel, to what Qwen-VL's image
    processors make with Pillow, before they rescale, normalise and repeat it in time. DataError names all
    pictures whose files are not what they were when the data was prepared.
    """
    patches = empty(pictures)
    places = np.split(patches, np.cumsum([placed.num_patches for placed in pictures])[:-1])
    if workers == 1 or len(pictures) == 1:
        faults = [fill(*pair) for pair in zip(pictures, places, strict=True)]
    else:
        faults = readers(workers).fill(pictures, places)
    _refuse([fault for fault in faults if fault is not None])
    return patches


def _start() -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tunesmith.batching.decode_workers"]
    places = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=places)


def _ask(
    process: subprocess.Popen[bytes], pictures: Sequence[Placed], places: Sequence[Patches]
) -> list[str | None]:
    asking: Pipe = process.stdin
    answering: Pipe = process.stdout
    pickle.dump(list(pictures), asking)
    asking.flush()
    faults: list[str | None] = []
    for place in places:
        faults.append(pickle.load(answering))
        if faults[-1] is None:
            _read_whole(answering, place.data.cast("B"))
    return faults


def _read_whole(answering: Pipe, place: memoryview) -> None:
    at = 0
    while at < len(place):
        got = answering.readinto(place[at:])
        if not got:
            raise EOFError
        at += got


def serve(asking: Pipe, answering: Pipe) -> None:
    """Answer lists of pictures until there are no more: for each what is wrong with it, or None and its patches."""
    while True:
        try:
            pictures: list[Placed] = pickle.load(asking)
        except EOFError:
            return
        for placed in pictures:
            place = empty([placed])
            fault = fill(placed, place)
            pickle.dump(fault, answering)
            if fault is None:
                answering.write(place.data.cast("B"))
        answering.flush()


def _refuse(faults: Sequence[str]) -> None:
    if len(faults) == 1:
        raise DataError(f"{faults[0]} {_AGAIN}")
    if faults:
        listed = [f"  {fault}" for fault in faults[:_NUM_LISTED]]
        more = [f"  ... and {len(faults) - _NUM_LISTED} more"] if len(faults) > _NUM_LISTED else []
        raise DataError(
            "\n".join([f"{counted(len(faults), 'picture')} cannot be used:", *listed, *more, _AGAIN])
        )


if __name__ == "__main__":
    # Ctrl-C goes to all processes of a terminal; this one ends when the one that asks does.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    serve(sys.stdin.buffer, sys.stdout.buffer)
