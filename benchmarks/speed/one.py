"""One engine's process: `python -m benchmarks.speed.one JOB RESULT`, both JSON files."""

from __future__ import annotations

import gc
import importlib
import json
import sys
import time
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

_BEGAN = time.time()
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


def measure(job_file: Path, result_file: Path) -> None:
    """Run the job of one file and write what was measured, or why nothing was, to the other."""
    from benchmarks.speed.engines import Job, NotOfferedError

    told = json.loads(job_file.read_text())
    job = Job(**(told | {"folder": Path(told["folder"])}))
    try:
        result = _measured(job)
    except NotOfferedError as reason:
        result = {"error": str(reason), "offered": False}
    except ModuleNotFoundError as error:
        result = {"error": f"not installed ({error})"}
        _print_trace()
    except Exception as error:
        lines = str(error).strip().splitlines() or [""]
        result = {"error": f"{type(error).__name__}: {lines[0][:300]}"}
        _print_trace()
    result_file.write_text(json.dumps(result))


def _measured(job: Any) -> dict[str, Any]:
    from benchmarks.speed.clock import Clock, matrix_rate

    clock = Clock(job.warmup, job.updates, job.deadline)
    importlib.import_module(f"benchmarks.speed.engines.{job.settings.file}").run(job, clock)
    result = clock.measured()
    result |= {
        "ready_after": clock.ready - _BEGAN,
        "first_update_seconds": clock.first - clock.ready,
        "matrix_rate": _rate(matrix_rate),
        "process_seconds": time.time() - _BEGAN,
        "workload": asdict(job.work),
        "versions": versions(),
    }
    return result


def _rate(measured: Any) -> float | None:
    # What the engine held would be in the way.
    gc.collect()
    try:
        return measured()  # type: ignore[no-any-return]
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


def _print_trace() -> None:
    import traceback

    traceback.print_exc()


if __name__ == "__main__":
    measure(Path(sys.argv[1]), Path(sys.argv[2]))
    sys.stdout.flush()
    sys.stderr.flush()
    # Data loaders and compilers of an engine must not keep the process alive.
    import os

    os._exit(0)
