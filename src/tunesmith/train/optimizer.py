"""Optimizers over the trained weights, one parameter group for each part and for what decays in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float32
from torch import Tensor, nn
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from tunesmith.config.experiment import Optimizer as OptimizerSettings
from tunesmith.errors import ModelError
from tunesmith.model.trainable import Group
from tunesmith.train.adamw import AdamW

SMALL = 1e-6
"""Added to a norm before something is divided by it, as PyTorch does."""


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
        return AdamW(parameter_groups, betas=settings.betas, eps=settings.eps)
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


def clipped_step(
    optimizer: torch.optim.Optimizer, weights: Sequence[nn.Parameter], clip: float | None
) -> Float32[Tensor, ""]:
    """Do an update with gradients scaled so that their global norm is at most `clip`; the norm before that comes
    back. They are not to be used afterwards."""
    norm = get_total_norm([weight.grad for weight in weights if weight.grad is not None])
    most = float("inf") if clip is None else clip
    if isinstance(optimizer, AdamW):
        optimizer.move_large((most / (norm + SMALL)).clamp(max=1.0))
    clip_grads_with_norm_(weights, most, norm)
    optimizer.step()
    return norm


def set_learning_rate(optimizer: torch.optim.Optimizer, factor: float) -> float:
    """Put every group at this share of its peak; the first group's learning rate comes back."""
    for group in optimizer.param_groups:
        group["lr"] = group["peak"] * factor
    return float(optimizer.param_groups[0]["lr"])
