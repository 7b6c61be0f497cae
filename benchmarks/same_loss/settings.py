"""What is trained, how, and with which hyperparameters; the same for the product and for the reference."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

RANK, ALPHA = 16, 32
SCHEDULE, WARMUP, DECAY, CLIP = "cosine", 0.1, 0.01, 1.0
HIDDEN = 256
"""Width between a head's two layers."""
GROUP, EXAMPLES = 4, 16
"""Examples of one length that stand together, and examples of an update."""
SEED = 17
RATES = {"lora": 5e-4, "full": 5e-5, "head": 1e-3, "lora+head": 5e-4}
"""Peak learning rate by method."""
RATES_OF_TOYS = {"lora": 5e-3, "full": 1e-3, "head": 1e-2, "lora+head": 2e-3}
"""That at which random weights learn within a few dozen updates."""


@dataclass(frozen=True)
class Setting:
    """One way to train."""

    name: str
    method: str = "lora"
    weights: str = "bf16"
    kernels: str = "none"
    checkpointing: str = "none"
    tokens_per_device: int = 16384
    sees: bool = False

    @property
    def reference(self) -> Reference:
        """What it is held to: the same weights, if they are quantised."""
        weights = self.weights.removesuffix("-fp8")
        return Reference(self.method, weights if weights in ("nf4", "fp8") else "fp32", self.sees)

    @property
    def material(self) -> str:
        """What it is trained on."""
        return "colours" if self.sees else "classes" if "head" in self.method else "answers"


@dataclass(frozen=True)
class Reference:
    """A plain run."""

    method: str
    weights: str = "fp32"
    """nf4 and fp8 are those weights, dequantised."""
    sees: bool = False
    compute: str = "fp32"
    """bf16 is no reference but a yardstick: how far the same plain loop ends from itself in 16 bits."""

    @property
    def name(self) -> str:
        """For the table."""
        if self.compute == "bf16":
            return f"the same plain loop of {self.method} in bf16"
        of = "" if self.weights == "fp32" else f" on {self.weights}'s weights"
        return f"reference {self.method}{' pictures' if self.sees else ''}{of}"

    @property
    def material(self) -> str:
        """What it is trained on."""
        return Setting("", self.method, sees=self.sees).material


MICRO = {"tokens_per_device": 400}
FULL = {"checkpointing": "full"}
SETTINGS = [
    Setting("lora-fp32", weights="fp32"),
    Setting("lora-fp32-micro-batches-checkpointing", weights="fp32", **MICRO, **FULL),  # type: ignore[arg-type]
    Setting("lora-bf16"),
    Setting("lora-bf16-checkpointing", **FULL),  # type: ignore[arg-type]
    Setting("lora-bf16-micro-batches", **MICRO),  # type: ignore[arg-type]
    Setting("lora-bf16-liger", kernels="liger"),
    Setting("lora-bf16-liger-checkpointing", kernels="liger", **FULL),  # type: ignore[arg-type]
    Setting("lora-bf16-fused", kernels="fused"),
    Setting("lora-bf16-fused-checkpointing", kernels="fused", **FULL),  # type: ignore[arg-type]
    Setting("lora-bf16-fused-micro-batches", kernels="fused", **MICRO),  # type: ignore[arg-type]
    Setting("lora-nf4", weights="nf4", kernels="auto"),
    Setting("lora-nf4-plain", weights="nf4"),
    Setting("lora-nf4-fp8", weights="nf4-fp8", kernels="auto"),
    Setting("lora-fp8", weights="fp8", kernels="auto"),
    Setting("lora-fp8-plain", weights="fp8"),
    Setting("full-fp32", method="full", weights="fp32"),
    Setting("full-bf16", method="full", kernels="auto"),
    Setting("full-bf16-checkpointing", method="full", kernels="auto", **FULL),  # type: ignore[arg-type]
    Setting("head-fp32", method="head", weights="fp32"),
    Setting("head-bf16", method="head", kernels="auto"),
    Setting("lora+head-fp32", method="lora+head", weights="fp32"),
    Setting("lora+head-bf16", method="lora+head", kernels="auto"),
    Setting("pictures-lora-fp32", weights="fp32", sees=True),
    Setting("pictures-lora-bf16", kernels="auto", sees=True),
]

YARDSTICK = Reference("lora", compute="bf16")


@dataclass(frozen=True)
class Job:
    """One run, in a process of its own."""

    what: Setting | Reference
    model: Path
    material: Path
    """Folder of what is trained on, and of where adapters and heads begin."""
    steps: int
    rate: float
    """Peak learning rate."""

    @property
    def start(self) -> Path:
        """Where adapters and head begin; no file for `full`, which begins with the model's weights."""
        return self.material / f"{self.what.method}{'-pictures' if self.what.sees else ''}.start"

    def to_json(self) -> dict[str, Any]:
        """As a file holds it."""
        return {
            **asdict(self),
            "model": str(self.model),
            "material": str(self.material),
            "kind": type(self.what).__name__,
        }

    @staticmethod
    def from_json(told: dict[str, Any]) -> Job:
        """As it was."""
        kind: Any = {"Setting": Setting, "Reference": Reference}[told["kind"]]
        return Job(
            kind(**told["what"]), Path(told["model"]), Path(told["material"]), told["steps"], told["rate"]
        )
