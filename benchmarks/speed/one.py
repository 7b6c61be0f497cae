"""One engine's process: `python -m benchmarks.speed.one ENGINE RESULT`, a file of `engines/` and one for the result.

It imports all that the engine needs, says so by a line to its standard output, and waits for a line with the file of
its job (JSON) from its standard input. Only then does it touch the GPU, and only then do its clocks begin. Another line
says when the timed updates begin.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = (
    "torch",
    "transformers",
    "peft",
    "trl",
    "unsloth",
    "liger-kernel",
    "bitsandbytes",
    "triton",
    "flash-attn",
)
LATE = (
    "triton",
    "transformers.models.qwen2.modeling_qwen2",
    "transformers.models.qwen3.modeling_qwen3",
    "transformers.models.qwen2_5_vl.modeling_qwen2_5_vl",
)
"""What libraries import when they need it first; after the engine's own, of which Unsloth's must come first."""


def main(engine: str, result_file: Path) -> None:
    """Import, wait, and write down what was measured, or why nothing was."""
    # What libraries print goes elsewhere, so that the parent hears of one thing only.
    ready = os.dup(1)
    os.dup2(2, 1)
    run, failed = None, None
    try:
        run = importlib.import_module(f"benchmarks.speed.engines.{engine}").run
        for name in LATE:
            with suppress(ImportError):
                importlib.import_module(name)
    except Exception as error:
        failed = _error(error)
    os.write(ready, b"ready\n")
    job_file = sys.stdin.readline().strip()
    if job_file:
        began = time.time()
        tell = partial(os.write, ready, b"timing\n")
        result_file.write_text(json.dumps(failed or _result(run, Path(job_file), began, tell)))


def _result(run: Any, job_file: Path, began: float, tell: Callable[[], Any]) -> dict[str, Any]:
    from benchmarks.speed.engines import Job, NotOfferedError

    told = json.loads(job_file.read_text())
    try:
        return _measured(run, Job(**(told | {"folder": Path(told["folder"])})), began, tell)
    except NotOfferedError as reason:
        return {"error": str(reason), "offered": False}
    except Exception as error:
        return _error(error)


def _error(error: Exception) -> dict[str, Any]:
    traceback.print_exc()
    if isinstance(error, ModuleNotFoundError):
        return {"error": f"not installed ({error})"}
    lines = str(error).strip().splitlines() or [""]
    return {"error": f"{type(error).__name__}: {lines[0][:300]}"}


def _measured(run: Any, job: Any, began: float, tell: Callable[[], Any]) -> dict[str, Any]:
    from benchmarks.speed.clock import Clock, matrix_rate

    clock = Clock(job.warmup, job.updates, job.deadline, tell)
    run(job, clock)
    result = clock.measured()
    result |= {
        "ready_after": clock.ready - began,
        "first_update_seconds": clock.first - clock.ready,
        "matrix_rate": _rate(matrix_rate),
        "process_seconds": time.time() - began,
        "workload_is": asdict(job.work),
        "versions": versions(),
    }
    return result


def _rate(measured: Callable[[], float | None]) -> float | None:
    # What the engine held would be in the way.
    gc.collect()
    try:
        return measured()
    except RuntimeError as error:
        print(f"no matrix rate: {error}")
        return None


def versions() -> dict[str, str]:
    """Of the packages that matter and are there."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
    sys.stdout.flush()
    sys.stderr.flush()
    # Data loaders and compilers of an engine must not keep the process alive.
    os._exit(0)
