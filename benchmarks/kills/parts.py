"""A campaign divided over processes."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Part:
    """One of several equal parts of a campaign."""

    index: int = 0
    """From 0."""
    count: int = 1
    """Number of parts."""

    def size(self, number: int) -> int:
        """How many of `number` things belong to this part."""
        return len(range(self.index, number, self.count))


def in_processes(parts: Sequence[Part], work: Callable[[Part], None]) -> None:
    """Do the work for each part in a fork of this process, all at the same time; RuntimeError if one fails."""
    processes = {}
    for part in parts:
        process = os.fork()
        if process == 0:
            code = 1
            try:
                work(part)
                code = 0
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                os._exit(code)
        processes[process] = part
    failed = [part.index for process, part in processes.items() if os.waitpid(process, 0)[1]]
    if failed:
        raise RuntimeError(f"parts {failed} of the campaign failed")
