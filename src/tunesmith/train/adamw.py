"""AdamW (Loshchilov and Hutter 2019) that reads and writes large weights once an update, clipping included."""

from __future__ import annotations

import importlib.util
from typing import Any

import torch
from jaxtyping import Float32
from torch import Tensor

LARGE = 2**20
"""Numbers of a weight from which a kernel of its own is faster than one for many weights."""


class AdamW(torch.optim.AdamW):
    """PyTorch's fused one, with its states, and a way to move large weights on a GPU with their gradients scaled in the
    same pass, for which PyTorch reads and writes them once more."""

    def __init__(self, parameter_groups: list[dict[str, Any]], **settings: Any) -> None:
        super().__init__(parameter_groups, fused=True, **settings)

    def move_large(self, scale: Float32[Tensor, ""]) -> None:
        """Do the update of large weights with gradients times the scale, and take those away, so that `step` does that
        of all others."""
        for group in self.param_groups:
            for weight in group["params"]:
                if _is_moved_alone(weight):
                    self._move(weight, scale, group)
                    weight.grad = None

    def _move(self, weight: Tensor, scale: Float32[Tensor, ""], group: dict[str, Any]) -> None:
        from tunesmith.train import adamw_triton

        state = self.state[weight]
        if not state:
            state["step"] = torch.zeros(())
            state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(weight), torch.zeros_like(weight)
        # PyTorch brings it to the GPU with a checkpoint, where asking for it would wait for all that was started.
        state["step"] = state["step"].cpu() + 1
        assert weight.grad is not None
        means = state["exp_avg"], state["exp_avg_sq"]
        adamw_triton.move(weight, weight.grad, *means, scale, int(state["step"]), group)


def _is_moved_alone(weight: Tensor) -> bool:
    """Whether the kernel can move it, and is the faster way."""
    return (
        weight.is_cuda
        and weight.numel() >= LARGE
        and weight.dtype == torch.float32
        and weight.is_contiguous()
        and weight.grad is not None
        and weight.grad.is_contiguous()
        and importlib.util.find_spec("triton") is not None
    )
