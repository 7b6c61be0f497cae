"""Fused kernels in the place of a model's plain layers: the same function, fewer passes over memory.

A layer is exchanged by its own forward pass, on the instance, so that nothing outside the loaded model changes.
"""

from __future__ import annotations

import importlib.util
from typing import Literal

import torch
from torch import nn

from tunesmith.errors import ModelError

Setting = Literal["auto", "liger", "none"]


def choose(setting: Setting, device: torch.device) -> tuple[str, str]:
    """The kernels and why those; ModelError if they were asked for and cannot be had."""
    missing = _why_no_liger(device)
    if setting == "none":
        return "none", "asked for"
    if setting == "liger" and missing:
        raise ModelError(f"model.kernels: liger cannot run here ({missing}). Possible: auto, none")
    return ("none", f"no liger: {missing}") if missing else ("liger", "the fastest there is")


def use(model: nn.Module, kernels: str) -> None:
    """Exchange every layer for which the kernels have one."""
    if kernels == "liger":
        from tunesmith.model.kernels.liger import exchange

        exchange(model)


def _why_no_liger(device: torch.device) -> str:
    if device.type != "cuda":
        return f"it needs a GPU, this is {device.type}"
    return "" if importlib.util.find_spec("liger_kernel") else "liger-kernel is not installed"
