"""`memory.json`: how a stage is executed on a GPU, chosen once as it begins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from tunesmith.runs.json_file import JsonFile


@dataclass(frozen=True)
class ExecutionPlan:
    """The content of `memory.json`."""

    checkpointing: Literal["none", "selective", "full", "offload"]
    """Level of activation checkpointing."""
    tokens_per_device: Annotated[int, Field(gt=0)]
    """Most tokens in a micro-batch."""


EXECUTION_PLAN = JsonFile[ExecutionPlan]("memory.json", ExecutionPlan)
