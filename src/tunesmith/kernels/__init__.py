"""Fused kernels for a model's layers: the same functions with fewer passes over memory.

`ops` has the element-wise operations, `attention` the attention over packed micro-batches, and `fusion` the layers that
are built from them. A layer is replaced by giving it another forward pass (a fused one another class), so that nothing
outside the loaded model changes.
"""

from __future__ import annotations

import importlib.util
from typing import Literal

import torch
from torch import nn

from tunesmith.errors import ModelError
from tunesmith.kernels.fusion.layer_spec import Architecture

Setting = Literal["auto", "fused", "liger", "none"]


def choose(setting: Setting, device: torch.device, compute: torch.dtype) -> tuple[str, str]:
    """The kernels and the reason for them; ModelError if they were asked for and cannot run here."""
    missing = {
        "fused": _why_not(device, "triton") or _why_no_fp32(compute),
        "liger": _why_not(device, "liger_kernel"),
    }
    if setting == "none":
        return "none", "asked for"
    if setting != "auto":
        if missing[setting]:
            possible = ", ".join(["auto", *(name for name, why in missing.items() if not why), "none"])
            raise ModelError(
                f"model.kernels: {setting} cannot run here ({missing[setting]}). Possible: {possible}"
            )
        return setting, "asked for"
    best = next((name for name, why in missing.items() if not why), "none")
    without = "; ".join(f"no {name}: {why}" for name, why in missing.items() if why)
    return best, without or "the fastest there is"


def use(model: nn.Module, architecture: Architecture, kernels: str, device: torch.device) -> None:
    """Give single modules forward passes by Liger's kernels.

    Whole layers are fused later, once it is known what is trained (`fusion.patch.apply_fused_layers`).
    """
    if kernels != "none" and not _why_not(device, "liger_kernel"):
        from tunesmith.kernels.fusion.liger import apply_liger

        apply_liger(model, architecture)


def _why_not(device: torch.device, package: str) -> str:
    if device.type != "cuda":
        return f"it needs a GPU, this is {device.type}"
    name = package.replace("_", "-")
    return "" if importlib.util.find_spec(package) else f"{name} is not installed"


def _why_no_fp32(compute: torch.dtype) -> str:
    return "it needs 16 bit, this is fp32" if compute == torch.float32 else ""
