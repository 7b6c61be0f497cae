"""LoRA on a linear layer as few products: what the adapter adds goes straight into the layer's output, and its
input, which neighbouring layers share, is kept once.

PEFT's own forward pass casts the input for each adapter and adds in a pass of its own. The gradients are those of
y = W x + b + s B A x (Hu et al. 2021) by hand.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

NAME = "default"


def exchange(model: nn.Module) -> None:
    """Give every linear layer of PEFT's with one plain adapter this forward pass; others (DoRA, embeddings) keep
    theirs."""
    from peft.tuners.lora import LoraLayer

    for module in model.modules():
        if isinstance(module, LoraLayer) and is_plain(module):
            module.forward = _forward(module, module.forward)


def is_plain(layer: Any) -> bool:
    """Whether PEFT's layer is a linear one with the one adapter that this knows how to compute."""
    base = layer.get_base_layer()
    has_bias = layer.lora_B[NAME].bias is not None if NAME in layer.lora_B else True
    return isinstance(base, nn.Linear) and not layer.lora_variant and not has_bias


def _forward(layer: Any, peft: Callable[..., Tensor]) -> Callable[..., Tensor]:
    base = layer.get_base_layer()
    is_float = type(base) is nn.Linear
    down, up, dropout = layer.lora_A[NAME], layer.lora_B[NAME], layer.lora_dropout[NAME]

    def forward(hidden: Tensor, *more: Any, **named: Any) -> Tensor:
        if layer.merged or layer.disable_adapters or more or named or layer.active_adapters != [NAME]:
            return peft(hidden, *more, **named)
        compute = _compute(hidden)
        seen = hidden.to(compute)
        drops = layer.training and isinstance(dropout, nn.Dropout) and dropout.p > 0
        is_frozen = not any(weight.requires_grad for weight in base.parameters(recurse=False))
        if is_float and not drops and is_frozen:
            return _Adapted.apply(  # type: ignore[no-any-return]
                seen, base.weight, base.bias, down.weight, up.weight, layer.scaling[NAME]
            )
        # In the precision of the products: layers in 4 bits give back what came in, which a norm may have made fp32.
        added_to = base(seen)
        seen = dropout(seen) if drops else seen
        return _Added.apply(  # type: ignore[no-any-return]
            added_to, seen.to(added_to.dtype), down.weight, up.weight, layer.scaling[NAME]
        )

    return forward


def _compute(hidden: Tensor) -> torch.dtype:
    """Precision of the products."""
    kind = hidden.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else hidden.dtype


class _Adapted(torch.autograd.Function):
    """A frozen linear layer and its adapter."""

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor | None, down: Tensor, up: Tensor, scale: float
    ) -> Tensor:
        flat = hidden.flatten(0, -2)
        weight = weight.to(flat.dtype)
        out = torch.mm(flat, weight.T) if bias is None else torch.addmm(bias.to(flat.dtype), flat, weight.T)
        inner = flat @ down.to(flat.dtype).T
        out.addmm_(inner, up.to(flat.dtype).T, alpha=scale)
        ctx.save_for_backward(hidden, weight, down, up, inner)
        ctx.scale = scale
        return out.unflatten(0, hidden.shape[:-1])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, None, None, Tensor, Tensor, None]:
        hidden, weight, down, up, inner = ctx.saved_tensors
        gradient = gradients[0].flatten(0, -2)
        of_inner, of_down, of_up = _of_adapter(gradient, hidden.flatten(0, -2), down, up, inner, ctx.scale)
        of_hidden = None
        if ctx.needs_input_grad[0]:
            of_hidden = torch.mm(gradient, weight).addmm_(of_inner, down.to(gradient.dtype)).view_as(hidden)
        return of_hidden, None, None, of_down, of_up, None


class _Added(torch.autograd.Function):
    """An adapter's share added to a layer's output, of which only the adapter's gradient is by hand."""

    @staticmethod
    def forward(ctx: Any, out: Tensor, hidden: Tensor, down: Tensor, up: Tensor, scale: float) -> Tensor:
        flat = hidden.flatten(0, -2)
        inner = flat @ down.to(flat.dtype).T
        ctx.save_for_backward(hidden, down, up, inner)
        ctx.scale = scale
        whole = torch.addmm(out.flatten(0, -2), inner, up.to(flat.dtype).T, alpha=scale)
        return whole.view_as(out)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor | None, Tensor, Tensor, None]:
        hidden, down, up, inner = ctx.saved_tensors
        gradient = gradients[0].flatten(0, -2)
        of_inner, of_down, of_up = _of_adapter(gradient, hidden.flatten(0, -2), down, up, inner, ctx.scale)
        of_hidden = None
        if ctx.needs_input_grad[1]:
            of_hidden = torch.mm(of_inner, down.to(gradient.dtype)).view_as(hidden)
        return gradients[0], of_hidden, of_down, of_up, None


def _of_adapter(
    gradient: Float[Tensor, "token out"],
    hidden: Float[Tensor, "token in"],
    down: Float[Tensor, "rank in"],
    up: Float[Tensor, "out rank"],
    inner: Float[Tensor, "token rank"],
    scale: float,
) -> tuple[Float[Tensor, "token rank"], Float[Tensor, "rank in"], Float[Tensor, "out rank"]]:
    """Gradients of A x (scaled), A and B, given that of the output."""
    of_inner = (gradient @ up.to(gradient.dtype)).mul_(scale)
    of_down = (of_inner.T @ hidden).to(down.dtype)
    of_up = (gradient.T @ inner).to(up.dtype).mul_(scale)
    return of_inner, of_down, of_up
