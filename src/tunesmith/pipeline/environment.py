"""On what a run was made: versions, device, command."""

from __future__ import annotations

import os
import platform
import shlex
import sys
from collections.abc import Iterator
from importlib import metadata
from typing import Any

import psutil
import torch

PACKAGES = ("tunesmith", "torch", "transformers", "peft", "bitsandbytes", "tokenizers", "datasets", "numpy")


def environment() -> dict[str, Any]:
    """Versions of what matters, the processor, the GPU if there is one, and the command line (JSON-like)."""
    gpu = torch.cuda.get_device_properties(0) if torch.cuda.is_available() else None
    return {
        "versions": {"python": platform.python_version(), **dict(_installed())},
        "system": platform.platform(),
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "gpu": None if gpu is None else {"name": gpu.name, "memory_gib": round(gpu.total_memory / 2**30, 1)},
        "command": shlex.join(sys.argv),
    }


def with_later(noted: dict[str, Any] | None, now: dict[str, Any]) -> dict[str, Any]:
    """The environment that a run began in, and under `later` those that it went on in, as far as they differ by more
    than the command."""
    if noted is None:
        return now
    last = [noted, *noted.get("later", [])][-1]
    if all(last.get(name) == value for name, value in now.items() if name != "command"):
        return noted
    return noted | {"later": [*noted.get("later", []), now]}


def _installed() -> Iterator[tuple[str, str]]:
    """Name and version of each of the packages that is there."""
    for name in PACKAGES:
        try:
            yield name, metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
