"""On what a run was made: versions, device, command."""

from __future__ import annotations

import os
import platform
import shlex
import sys
from collections.abc import Iterator
from dataclasses import replace
from importlib import metadata

import psutil
import torch

from tunesmith.runs.run import Environment, Gpu

PACKAGES = ("tunesmith", "torch", "transformers", "peft", "bitsandbytes", "tokenizers", "datasets", "numpy")


def environment() -> Environment:
    """Versions of the main packages, the machine, the GPU if there is one, and the command line."""
    gpu = torch.cuda.get_device_properties(0) if torch.cuda.is_available() else None
    return Environment(
        versions={"python": platform.python_version(), **dict(_installed())},
        system=platform.platform(),
        cores=os.cpu_count(),
        memory_gib=round(psutil.virtual_memory().total / 2**30, 1),
        gpu=None if gpu is None else Gpu(gpu.name, round(gpu.total_memory / 2**30, 1)),
        command=shlex.join(sys.argv),
    )


def with_later(first: Environment | None, now: Environment) -> Environment:
    """The environment in which a run began. `now` is added to `later` if more than the command line has changed."""
    if first is None:
        return now
    last = first.later[-1] if first.later else replace(first, later=())
    if replace(last, command=now.command) == now:
        return first
    return replace(first, later=(*first.later, now))


def _installed() -> Iterator[tuple[str, str]]:
    """Name and version of each of the packages that is there."""
    for name in PACKAGES:
        try:
            yield name, metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
