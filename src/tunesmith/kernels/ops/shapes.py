"""All operations without their arithmetic: what the GPU kernels allocate and overwrite, for forecasts of memory.

Every function takes and returns what the operation of the same name does. A result that a kernel writes over one of
its inputs is that input here, too, so that a forecast counts it once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from tunesmith.kernels.ops.lora import LoraUpdate
    from tunesmith.kernels.ops.rope import HeadLayout, RopeTables


def rms_norm(x: Tensor, *_: Any) -> tuple[Tensor, Tensor]:
    """Allocates the normalised rows and rstd."""
    return torch.empty_like(x), x.new_empty(len(x), dtype=torch.float32)


def rms_norm_backward(grad_output: Tensor, *_: Any) -> Tensor:
    """Allocates the gradient of x."""
    return torch.empty_like(grad_output)


def rms_norm_weight_grad(grad_output: Tensor, *_: Any) -> Tensor:
    """Allocates the gradient of the weight."""
    return grad_output.new_empty(grad_output.shape[1], dtype=torch.float32)


def add_lora(x: Tensor, *_: Any) -> Tensor:
    """Overwrites x."""
    return x


def swiglu(
    gate_up: Tensor, gate_update: Any, up_update: Any, lora_A: Tensor | None
) -> tuple[Tensor, Tensor | None]:
    """Allocates the output and the inner activations of the next adapter."""
    out = gate_up.new_empty(len(gate_up), gate_up.shape[1] // 2)
    return out, None if lora_A is None else gate_up.new_empty(len(gate_up), len(lora_A))


def swiglu_backward(
    grad_output: Tensor,
    gate_up: Tensor,
    gate_update: LoraUpdate | None,
    up_update: LoraUpdate | None,
    output_update: LoraUpdate | None,
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Overwrites both inputs and allocates the gradients of inner activations."""
    rank = sum(update.lora_B.shape[1] for update in (gate_update, up_update) if update)
    return gate_up, grad_output, gate_up.new_empty(len(gate_up), rank) if rank else None


def cross_entropy_forward(logits: Tensor, targets: Any) -> tuple[Tensor, Tensor]:
    """Allocates losses and logsumexp."""
    losses = logits.new_empty(len(logits), dtype=torch.float32)
    return losses, torch.empty_like(losses)


def cross_entropy_backward(grad_output: Tensor, logits: Tensor, *_: Any) -> Tensor:
    """Overwrites the logits."""
    return logits


def apply_rope(qkv: Tensor, layout: HeadLayout, tables: RopeTables) -> tuple[Tensor, ...]:
    """Overwrites qkv without norms, else allocates queries and keys."""
    queries, keys, values = qkv.split(layout.sizes, dim=1)
    if tables.norm_weights is not None:
        sizes = layout.sizes[:2]
        queries, keys = qkv.new_empty(len(qkv), sum(sizes)).split(sizes, dim=1)
    return queries, keys, values


def rope_backward(
    grad_outputs: tuple[Tensor, ...],
    qkv: Tensor | None,
    layout: HeadLayout,
    tables: RopeTables,
    needs_weight_grads: bool = False,
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Allocates the gradient of qkv, and the partial sums of the weights' gradients."""
    grad_qkv = grad_outputs[0].new_empty(len(grad_outputs[0]), sum(layout.sizes))
    if not needs_weight_grads:
        return grad_qkv, ()
    partial = grad_qkv.new_empty(2, len(grad_qkv), layout.head_dim, dtype=torch.float32)
    return grad_qkv, tuple(partial.sum(1))
