"""LoRA (Hu et al. 2021) on a single linear layer with few matrix products.

    inner = x A^T
    y     = x W^T + b + s inner B^T

    grad_inner = s grad_y B          grad_x = grad_y W + grad_inner A
    grad_A     = grad_inner^T x      grad_B = s grad_y^T inner

PEFT's own forward pass casts the input once for each adapter and adds the adapter's output in a pass of its own. Here
the last product adds into y directly, and neighbouring layers, which have the same input, keep the same tensor for the
backward pass. This form serves layers that are not part of a fused layer (`fused_layers`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

NAME = "default"
"""PEFT's name of the only adapter."""


def apply_lora_forward(model: nn.Module) -> None:
    """Give every linear layer of PEFT's with one plain adapter this forward pass; DoRA and embeddings keep theirs."""
    from peft.tuners.lora import LoraLayer

    for module in model.modules():
        if isinstance(module, LoraLayer) and is_plain(module):
            module.forward = _forward(module, module.forward)


def is_plain(layer: Any) -> bool:
    """Whether PEFT's layer is a linear one with a single LoRA adapter and no variant of it."""
    base = layer.get_base_layer()
    has_bias = layer.lora_B[NAME].bias is not None if NAME in layer.lora_B else True
    return isinstance(base, nn.Linear) and not layer.lora_variant and not has_bias


def _forward(layer: Any, peft_forward: Callable[..., Tensor]) -> Callable[..., Tensor]:
    base = layer.get_base_layer()
    is_float = type(base) is nn.Linear
    lora_A, lora_B, dropout = layer.lora_A[NAME], layer.lora_B[NAME], layer.lora_dropout[NAME]

    def forward(x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if layer.merged or layer.disable_adapters or args or kwargs or layer.active_adapters != [NAME]:
            return peft_forward(x, *args, **kwargs)
        x = x.to(_compute_dtype(x))
        drops = layer.training and isinstance(dropout, nn.Dropout) and dropout.p > 0
        is_frozen = not any(weight.requires_grad for weight in base.parameters(recurse=False))
        if is_float and not drops and is_frozen:
            return _LoraLinear.apply(  # type: ignore[no-any-return]
                x, base.weight, base.bias, lora_A.weight, lora_B.weight, layer.scaling[NAME]
            )
        # 4-bit layers return the dtype of their input, which a norm may have made fp32: hence the cast above.
        out = base(x)
        x = dropout(x) if drops else x
        return _AddLora.apply(  # type: ignore[no-any-return]
            out, x.to(out.dtype), lora_A.weight, lora_B.weight, layer.scaling[NAME]
        )

    return forward


def _compute_dtype(x: Tensor) -> torch.dtype:
    """Dtype of the matrix products."""
    device_type = x.device.type
    return torch.get_autocast_dtype(device_type) if torch.is_autocast_enabled(device_type) else x.dtype


class _LoraLinear(torch.autograd.Function):
    """A frozen linear layer and its adapter."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        lora_A: Tensor,
        lora_B: Tensor,
        scale: float,
    ) -> Tensor:
        flat = x.flatten(0, -2)
        weight = weight.to(flat.dtype)
        out = torch.mm(flat, weight.T) if bias is None else torch.addmm(bias.to(flat.dtype), flat, weight.T)
        inner = flat @ lora_A.to(flat.dtype).T
        out.addmm_(inner, lora_B.to(flat.dtype).T, alpha=scale)
        ctx.save_for_backward(x, weight, lora_A, lora_B, inner)
        ctx.scale = scale
        return out.unflatten(0, x.shape[:-1])

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, None, None, Tensor, Tensor, None]:
        x, weight, lora_A, lora_B, inner = ctx.saved_tensors
        grad_output = grad_outputs[0].flatten(0, -2)
        grad_inner, grad_A, grad_B = _lora_grads(
            grad_output, x.flatten(0, -2), lora_A, lora_B, inner, ctx.scale
        )
        grad_x = None
        if ctx.needs_input_grad[0]:
            grad_x = torch.mm(grad_output, weight).addmm_(grad_inner, lora_A.to(grad_output.dtype)).view_as(x)
        return grad_x, None, None, grad_A, grad_B, None


class _AddLora(torch.autograd.Function):
    """An adapter's output added to that of a layer which computes its own gradients."""

    @staticmethod
    def forward(ctx: Any, out: Tensor, x: Tensor, lora_A: Tensor, lora_B: Tensor, scale: float) -> Tensor:
        flat = x.flatten(0, -2)
        inner = flat @ lora_A.to(flat.dtype).T
        ctx.save_for_backward(x, lora_A, lora_B, inner)
        ctx.scale = scale
        return torch.addmm(out.flatten(0, -2), inner, lora_B.to(flat.dtype).T, alpha=scale).view_as(out)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, Tensor | None, Tensor, Tensor, None]:
        x, lora_A, lora_B, inner = ctx.saved_tensors
        grad_output = grad_outputs[0].flatten(0, -2)
        grad_inner, grad_A, grad_B = _lora_grads(
            grad_output, x.flatten(0, -2), lora_A, lora_B, inner, ctx.scale
        )
        grad_x = None
        if ctx.needs_input_grad[1]:
            grad_x = torch.mm(grad_inner, lora_A.to(grad_output.dtype)).view_as(x)
        return grad_outputs[0], grad_x, grad_A, grad_B, None


def _lora_grads(
    grad_output: Float[Tensor, "token out"],
    x: Float[Tensor, "token in"],
    lora_A: Float[Tensor, "rank in"],
    lora_B: Float[Tensor, "out rank"],
    inner: Float[Tensor, "token rank"],
    scale: float,
) -> tuple[Float[Tensor, "token rank"], Float[Tensor, "rank in"], Float[Tensor, "out rank"]]:
    """Gradients of `inner` (scaled), `lora_A` and `lora_B`."""
    grad_inner = (grad_output @ lora_B.to(grad_output.dtype)).mul_(scale)
    grad_A = (grad_inner.T @ x).to(lora_A.dtype)
    grad_B = (grad_output.T @ inner).to(lora_B.dtype).mul_(scale)
    return grad_inner, grad_A, grad_B
