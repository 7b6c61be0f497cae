"""The engines, each with the settings that suit it best; a file an engine, all with one function: `run(job, clock)`.

To add one: a file with `run` here, and its lines in `ENGINES`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.speed.methods import METHODS, Method
from benchmarks.speed.workloads import Sample, Workload, of, update


class NotOfferedError(Exception):
    """The engine has no such way of training; said in its line of the table."""


@dataclass(frozen=True)
class Engine:
    """An engine with one set of settings."""

    file: str
    """In this folder, without its ending."""
    checkpointing: bool | str = False
    """Activations are computed again in the backward pass: all, or as the word says."""
    packed: bool = True
    """Samples stand end to end, none is padded."""
    flash: bool = False
    """A flash-attention package is there (see `flash_stand_in`)."""
    shared: bool = False
    """What samples of an update begin with is laid out once."""
    settings: str = ""
    """In words."""
    is_peer: bool = True
    """One to compare tunesmith with, and no loop of our own."""


_STAND_IN = "flash_attn is a stand-in that calls PyTorch's own flash kernels"
_BARE = {
    "tunesmith": Engine("tunesmith", settings="defaults, whole update in one micro-batch", is_peer=False),
    "tunesmith-checkpointing": Engine(
        "tunesmith", checkpointing=True, settings="model.checkpointing: true", is_peer=False
    ),
    "tunesmith-selective": Engine(
        "tunesmith", checkpointing="selective", settings="model.checkpointing: selective", is_peer=False
    ),
    "tunesmith-shared": Engine(
        "tunesmith", shared=True, settings="batch.share_beginnings: true", is_peer=False
    ),
    "loop": Engine(
        "loop",
        settings="PEFT, varlen_attn, Liger norm, SwiGLU and rotary, logits where labels are",
        is_peer=False,
    ),
    "loop-checkpointing": Engine("loop", checkpointing=True, settings="the same", is_peer=False),
}
_PEERS = {
    "trl-padded": Engine("trl", True, False, settings="SFTConfig as it comes: 8 samples at once, padded"),
    "trl-checkpointing": Engine(
        "trl", True, settings="padding_free, use_liger_kernel, gradient_checkpointing"
    ),
    "trl": Engine("trl", settings="padding_free, use_liger_kernel, no checkpointing"),
    "unsloth-checkpointing": Engine(
        "unsloth", True, settings='padding_free, use_gradient_checkpointing="unsloth"'
    ),
    "unsloth": Engine("unsloth", settings="padding_free, use_gradient_checkpointing=False"),
}
ENGINES = (
    _BARE
    | _PEERS
    | {
        f"{name}+flash": Engine(one.file, one.checkpointing, one.packed, True, f"{one.settings}; {_STAND_IN}")
        for name, one in _PEERS.items()
        if one.packed
    }
)


@dataclass(frozen=True)
class Job:
    """What one process does."""

    engine: str
    workload: str
    method: str
    model: str
    folder: Path
    """Of the model's config and tokenizer; its pictures are in `pictures` beside."""
    small: bool
    warmup: int
    updates: int
    deadline: float

    @property
    def settings(self) -> Engine:
        """The engine's."""
        return ENGINES[self.engine]

    @property
    def work(self) -> Workload:
        """What is trained on."""
        return of(self.workload, self.small)

    @property
    def way(self) -> Method:
        """What is trained."""
        return METHODS[self.method]

    @property
    def pictures(self) -> Path:
        """Where the workload's pictures lie."""
        return self.folder / self.workload

    def samples(self, number: int, config: Any) -> list[Sample]:
        """The samples of one update."""
        return update(self.work, number, config)
