"""One run's process: `python -m benchmarks.same_loss.one JOB RESULT`, both JSON files."""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from benchmarks.same_loss.settings import Job, Reference


def measured(job: Job) -> dict[str, Any]:
    """What came out, or under `error` why nothing did."""
    from tunesmith.errors import ModelError

    began = time.perf_counter()
    try:
        if isinstance(job.what, Reference):
            from benchmarks.same_loss.reference import run
        else:
            from benchmarks.same_loss.ours import run
        found = run(job)
    except ModelError as error:
        found = {"error": f"not here: {error}"}
    except Exception as error:
        traceback.print_exc()
        lines = str(error).strip().splitlines() or [""]
        found = {"error": f"failed: {type(error).__name__}: {' '.join(lines)[:300]}"}
    return found | {"seconds": time.perf_counter() - began}


if __name__ == "__main__":
    result = measured(Job.from_json(json.loads(Path(sys.argv[1]).read_text())))
    Path(sys.argv[2]).write_text(json.dumps(result))
    sys.stdout.flush()
    sys.stderr.flush()
    # What a kernel's compiler left running must not keep the process alive.
    os._exit(0)
