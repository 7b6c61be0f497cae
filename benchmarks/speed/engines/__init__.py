"""The engines, each with the settings that suit it best; a file an engine, all with one function: `run(job, clock)`.

To add one: a file with `run` here, and its lines in `ENGINES`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
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
    wide: bool = False
    """Weights that are trained, their gradients and the optimizer's states are in fp32, products in bf16."""
    shared: bool = False
    """What samples of an update begin with is laid out once."""
    tokens_per_device: int | None = None
    """Most tokens of a micro-batch; none is the whole update at once."""
    within_gib: float | None = None
    """Memory that it was set for, and its peers are held to."""
    settings: str = ""
    """In words."""
    is_peer: bool = True
    """One to compare tunesmith with, and no loop of our own."""


def _limited(gib: float, tokens: int, level: str) -> Engine:
    """Tunesmith in less memory, as its forecast for the workload says."""
    return Engine(
        "tunesmith",
        level,
        tokens_per_device=tokens,
        within_gib=gib,
        settings=f"within {gib} GiB: model.checkpointing: {level}, batch.max_tokens_per_microbatch: {tokens}",
        is_peer=False,
    )


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
        "tunesmith", shared=True, settings="batch.share_prefixes: true", is_peer=False
    ),
    # Short texts on bf16, on NF4, and pictures; the numbers are those of `fitting`.
    "tunesmith-17gib": _limited(17.0, 8192, "offload"),
    "tunesmith-17gib-selective": _limited(17.0, 1664, "selective"),
    "tunesmith-7.6gib": _limited(7.6, 8192, "offload"),
    "tunesmith-20.5gib": _limited(20.5, 6080, "offload"),
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
    "trl-fp32-checkpointing": Engine(
        "trl",
        True,
        wide=True,
        settings="padding_free, use_liger_kernel, gradient_checkpointing; weights and states in fp32, as tunesmith's",
    ),
    "unsloth-checkpointing": Engine(
        "unsloth", True, settings='padding_free, use_gradient_checkpointing="unsloth"'
    ),
    "unsloth": Engine("unsloth", settings="padding_free, use_gradient_checkpointing=False"),
}
ENGINES = (
    _BARE
    | _PEERS
    | {
        f"{name}+flash": replace(one, flash=True, settings=f"{one.settings}; {_STAND_IN}")
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
    deadline: float = 0.0
    """Time by `time.time()` after which a slow engine makes do with fewer updates."""

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
    def tokens_per_device(self) -> int:
        """Most tokens of a micro-batch; of a toy's, the same share of an update."""
        wanted = self.settings.tokens_per_device
        if wanted is None:
            return max(64, self.work.tokens)
        return wanted * self.work.tokens // of(self.workload, small=False).tokens

    @property
    def pictures(self) -> Path:
        """Where the workload's pictures lie."""
        return self.folder / self.workload

    def samples(self, number: int, config: Any) -> list[Sample]:
        """The samples of one update."""
        return update(self.work, number, config)
