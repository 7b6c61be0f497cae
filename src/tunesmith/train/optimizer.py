"""Optimizers over the trained weights, one parameter group for each part and for what decays in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from tunesmith.config.experiment import Optimizer as OptimizerSettings
from tunesmith.errors import ModelError
from tunesmith.model.trainable import Group


def build_optimizer(groups: Sequence[Group], settings: OptimizerSettings) -> torch.optim.Optimizer:
    """The optimizer; each of its parameter groups keeps its peak learning rate under `peak`. Weights of one dimension
    (norms, biases) do not decay. ModelError if the optimizer's library is not installed."""
    parameter_groups: list[dict[str, Any]] = []
    for group in groups:
        peak = group.learning_rate or settings.learning_rate
        for decays in (True, False):
            members = [weight for weight in group.parameters.values() if (weight.ndim > 1) == decays]
            decay = settings.weight_decay if decays else 0.0
            if members:
                parameter_groups.append({"params": members, "lr": peak, "peak": peak, "weight_decay": decay})
    return _of_kind(parameter_groups, settings)


def _of_kind(parameter_groups: list[dict[str, Any]], settings: OptimizerSettings) -> torch.optim.Optimizer:
    if settings.kind == "adamw":
        return torch.optim.AdamW(parameter_groups, betas=settings.betas, eps=settings.eps, fused=True)
    if settings.kind == "adafactor":
        return torch.optim.Adafactor(parameter_groups)
    try:
        import bitsandbytes.optim as eight_bit
    except ImportError as error:
        raise ModelError(
            f"stages.optimizer.kind: {settings.kind} needs bitsandbytes, which is not installed. "
            "Install tunesmith[quant], or use kind: adamw"
        ) from error
    of_kind = eight_bit.AdamW8bit if settings.kind == "adamw-8bit" else eight_bit.PagedAdamW8bit
    return of_kind(parameter_groups, betas=settings.betas, eps=settings.eps)  # type: ignore[no-any-return]


def set_learning_rate(optimizer: torch.optim.Optimizer, factor: float) -> float:
    """Put every group at this share of its peak; the first group's learning rate comes back."""
    for group in optimizer.param_groups:
        group["lr"] = group["peak"] * factor
    return float(optimizer.param_groups[0]["lr"])
