"""`environment.json`: versions, device and command line of a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tunesmith.runs.json_file import JsonFile


@dataclass(frozen=True)
class Gpu:
    """The GPU of a run."""

    name: str
    memory_gib: float


@dataclass(frozen=True)
class Environment:
    """The content of `environment.json`. Files of earlier versions may lack any of the fields."""

    versions: Mapping[str, str] = field(default_factory=dict)
    """Versions by package, and of Python."""
    system: str = ""
    cores: int | None = None
    memory_gib: float | None = None
    """Memory of the machine."""
    gpu: Gpu | None = None
    command: str = ""
    later: tuple[Environment, ...] = ()
    """Other environments that the run was continued in."""


ENVIRONMENT = JsonFile[Environment]("environment.json", Environment)
