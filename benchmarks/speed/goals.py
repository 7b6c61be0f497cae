"""What is run together: an engine beside others on one workload; and the list that makes README's table."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.speed.shapes import SEEING
from benchmarks.speed.workloads import WORKLOADS

Key = tuple[str, str, str, str]
"""What tells a row from all others: engine, workload, method, model."""
TEXT = "qwen2.5-7b"


@dataclass(frozen=True)
class Group:
    """Engines that do the same work, one after the other."""

    workload: str
    method: str
    model: str
    engines: tuple[str, ...]

    @property
    def keys(self) -> list[Key]:
        """Of its rows."""
        return [(engine, self.workload, self.method, self.model) for engine in self.engines]


def group(workload: str, method: str, engines: str, model: str = TEXT) -> Group:
    """A group of engines named in one string; pictures have a model of their own."""
    return Group(workload, method, SEEING if WORKLOADS[workload].sees else model, tuple(engines.split()))


GOALS = (
    group(
        "short-text",
        "lora",
        "tunesmith unsloth+flash unsloth trl+flash trl tunesmith-checkpointing tunesmith-17gib"
        " unsloth-checkpointing+flash unsloth-checkpointing trl-checkpointing+flash loop",
    ),
    group("short-text-16k", "lora", "tunesmith unsloth+flash unsloth trl+flash loop", "qwen3-0.6b"),
    group(
        "one-picture",
        "lora",
        "tunesmith unsloth-checkpointing+flash unsloth-checkpointing trl+flash tunesmith-checkpointing"
        " tunesmith-20.5gib loop",
    ),
    group("short-text", "fp8", "tunesmith"),
    group(
        "short-text",
        "qlora",
        "tunesmith tunesmith-checkpointing tunesmith-7.6gib unsloth-checkpointing+flash unsloth-checkpointing"
        " unsloth+flash",
    ),
    group("short-text", "qlora-fp8", "tunesmith tunesmith-checkpointing tunesmith-7.6gib"),
    group("long-text", "lora", "tunesmith unsloth+flash unsloth trl+flash"),
    group("many-questions", "lora", "tunesmith tunesmith-shared unsloth-checkpointing+flash"),
    group("short-text", "head", "tunesmith"),
    group(
        "short-text",
        "full",
        "tunesmith tunesmith-checkpointing trl+flash trl-checkpointing+flash trl-fp32-checkpointing+flash"
        " trl-checkpointing trl-fp32-checkpointing",
    ),
    group("short-text", "lora", "trl-padded"),
)
"""In the order of what they tell, should time run out."""
