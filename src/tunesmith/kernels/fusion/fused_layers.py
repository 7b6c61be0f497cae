"""A transformer layer as three autograd functions with hand-written gradients.

    qkv = Wqkv norm1(x)                         `QkvProjection`, with rotary positions
    h   = x + Wo attention(q, k, v)             `AttentionOutput`
    y   = h + Wdown (silu(g) * u),  [g, u] = Wgu norm2(h)      `GatedMlp`

They serve layers whose own weights are frozen, with or without LoRA (Hu et al. 2021) on the linear layers, and layers
that are trained entirely. Each linear layer's gradients are those in `fused_linear`; those of norm, rotation and gate
stand in `kernels/ops`.

What is kept for the backward pass: the residual stream (x and h), the outputs of products that a nonlinearity needs
(gate and up; queries, keys and values if their heads are normalised), and the adapters' inner activations, which are
narrow. Normalised inputs and the gated product are recomputed in the backward pass, which costs one read each.

The gradient of `lora_A` after a norm does not need the normalised input either. With u = x * rstd * weight,

    grad_A = grad_inner^T u = ((grad_inner * rstd)^T x) * weight

so a product with x itself suffices.

The residual connection's gradient is not added by autograd in a pass of its own: each function returns x (or h) as an
output too, and the kernel of the norm's backward pass adds what arrives there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from tunesmith.kernels.fusion.fused_linear import FusedLinear
from tunesmith.kernels.ops import Activations, LoraInner, PerToken
from tunesmith.kernels.ops.rms_norm import rms_norm, rms_norm_backward, rms_norm_weight_grad
from tunesmith.kernels.ops.rope import HeadLayout, RopeTables, apply_rope, rope_backward
from tunesmith.kernels.ops.swiglu import swiglu, swiglu_backward
from tunesmith.precision.matmul_backends import in_recompute, weight_grad


@dataclass(frozen=True, eq=False)
class RmsNorm:
    """An RMS norm."""

    weight: Float[Tensor, " width"]
    eps: float

    def __call__(self, x: Activations) -> Activations:
        """The normalised rows."""
        return rms_norm(x, self.weight, self.eps)[0]

    @property
    def parameters(self) -> list[nn.Parameter]:
        """The weight, if it is trained."""
        return [self.weight] if isinstance(self.weight, nn.Parameter) and self.weight.requires_grad else []

    def param_grads(self, grad_output: Activations, x: Activations, rstd: PerToken) -> list[Tensor]:
        """Gradients of `parameters`."""
        return [rms_norm_weight_grad(grad_output, x, rstd)] if self.parameters else []

    def lora_A_grad(
        self, grad_inner: LoraInner | None, x: Activations, rstd: PerToken
    ) -> Float[Tensor, "rank width"] | None:
        """Gradient of the `lora_A` that multiplies the norm of `x`, without recomputing that norm."""
        if grad_inner is None:
            return None
        scaled = torch.mul(grad_inner, rstd[:, None], out=torch.empty_like(grad_inner))
        return weight_grad(scaled, x).mul_(self.weight)


@dataclass(frozen=True, eq=False)
class QkvProjection:
    """A norm, the projections of queries, keys and values, norms of their heads if there are any, and rotation."""

    norm: RmsNorm
    linear: FusedLinear
    layout: HeadLayout
    head_norms: tuple[RmsNorm, RmsNorm] | None
    """Of queries and of keys."""

    def rope_tables(self, cos: Tensor, sin: Tensor) -> RopeTables:
        """The angles and the norms of heads."""
        if self.head_norms is None:
            return RopeTables(cos, sin, None, 0.0)
        queries, keys = self.head_norms
        return RopeTables(cos, sin, (queries.weight, keys.weight), queries.eps)

    @property
    def head_norm_parameters(self) -> list[nn.Parameter]:
        """Weights of the heads' norms that are trained."""
        return [weight for norm in self.head_norms or () for weight in norm.parameters]

    @property
    def parameters(self) -> list[nn.Parameter]:
        """What is trained."""
        return [*self.norm.parameters, *self.linear.parameters, *self.head_norm_parameters]

    def __call__(
        self, x: Activations, cos: Tensor, sin: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Activations]:
        """Rotated queries and keys, values, and `x` for the residual connection."""
        return _QkvProjection.apply(x, self, cos, sin, *self.parameters)  # type: ignore[no-any-return]


class _QkvProjection(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, block: QkvProjection, cos: Tensor, sin: Tensor, *_: Tensor) -> Any:
        normed, rstd = rms_norm(x, block.norm.weight, block.norm.eps)
        inner = block.linear.lora_inner(normed)
        cast = block.linear.cast_weight(normed.dtype)
        qkv = block.linear.forward(normed, inner, cast)
        ctx.save_for_backward(x, rstd, inner, cast, cos, sin, qkv if block.head_norms else None)
        ctx.block = block
        return *apply_rope(qkv, block.layout, block.rope_tables(cos, sin)), x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> Any:
        x, rstd, inner, cast, cos, sin, qkv = ctx.saved_tensors
        block: QkvProjection = ctx.block
        *grad_heads, grad_residual = grad_outputs
        grad_qkv, grad_head_norms = rope_backward(
            tuple(grad_heads),  # type: ignore[arg-type]
            qkv,
            block.layout,
            block.rope_tables(cos, sin),
            bool(block.head_norm_parameters),
        )
        grad_inner = block.linear.lora_inner_grad(grad_qkv)
        grad_x, grad_norm = None, []
        if ctx.needs_input_grad[0] or block.norm.parameters:
            grad_normed = block.linear.input_grad(grad_qkv, grad_inner, cast)
            grad_norm = block.norm.param_grads(grad_normed, x, rstd)
            grad_x = rms_norm_backward(grad_normed, x, rstd, block.norm.weight, grad_residual)
        grad_lora_A = block.norm.lora_A_grad(grad_inner, x, rstd)
        grad_linear = block.linear.param_grads(grad_lora_A, grad_qkv, inner, partial(block.norm, x))
        return grad_x, None, None, None, *grad_norm, *grad_linear, *grad_head_norms


@dataclass(frozen=True, eq=False)
class AttentionOutput:
    """The output projection of attention, added to the residual stream."""

    linear: FusedLinear

    def __call__(self, attended: Float[Tensor, "token heads"], residual: Activations) -> Activations:
        """The residual stream after attention."""
        return _Linear.apply(attended, residual, self.linear, *self.linear.parameters)  # type: ignore[no-any-return]


def apply_linear(x: Float[Tensor, "token in"], linear: FusedLinear) -> Float[Tensor, "token out"]:
    """Outputs of fused linear layers, with gradients."""
    return _Linear.apply(x, None, linear, *linear.parameters)  # type: ignore[no-any-return]


class _Linear(torch.autograd.Function):
    """Fused linear layers, plus the residual if there is one."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, residual: Tensor | None, linear: FusedLinear, *_: Tensor) -> Tensor:
        inner, cast = linear.lora_inner(x), linear.cast_weight(x.dtype)
        ctx.save_for_backward(x, inner, cast)
        ctx.linear = linear
        return linear.forward(x, inner, cast, residual)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> Any:
        x, inner, cast = ctx.saved_tensors
        linear: FusedLinear = ctx.linear
        grad_output = grad_outputs[0].contiguous()
        grad_inner = linear.lora_inner_grad(grad_output)
        grad_x = linear.input_grad(grad_output, grad_inner, cast) if ctx.needs_input_grad[0] else None
        grad_lora_A = None if grad_inner is None else weight_grad(grad_inner, x)
        grad_linear = linear.param_grads(grad_lora_A, grad_output, inner, lambda: x)
        return grad_x, grad_outputs[0] if ctx.needs_input_grad[1] else None, None, *grad_linear


Attend = Callable[[Tensor, Tensor, Tensor], Tensor]
"""From queries, keys and values to the output of attention; in each, heads lie next to each other in a row."""


@dataclass(frozen=True, eq=False)
class GatedMlp:
    """A norm and down(silu(gate) * up), added to the residual stream."""

    norm: RmsNorm
    gate_up: FusedLinear
    down: FusedLinear

    def __call__(self, x: Activations, recompute: bool = False) -> Activations:
        """The residual stream after the MLP.

        With `recompute` the backward pass computes gate and up again instead of keeping them.
        """
        return _GatedMlp.apply(x, self, recompute, *self.parameters)  # type: ignore[no-any-return]

    @property
    def parameters(self) -> list[nn.Parameter]:
        """What is trained."""
        return [*self.norm.parameters, *self.gate_up.parameters, *self.down.parameters]


class _GatedMlp(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, mlp: GatedMlp, recompute: bool, *_: Tensor) -> Tensor:
        normed, rstd = rms_norm(x, mlp.norm.weight, mlp.norm.eps)
        inner = mlp.gate_up.lora_inner(normed)
        cast, down_cast = mlp.gate_up.cast_weight(normed.dtype), mlp.down.cast_weight(normed.dtype)
        gate_up = mlp.gate_up.matmul(normed, cast)
        del normed
        gate_update, up_update = mlp.gate_up.lora_updates(inner)
        gated, down_inner = swiglu(gate_up, gate_update, up_update, mlp.down.lora_A)
        ctx.save_for_backward(x, rstd, inner, cast, down_cast, down_inner, None if recompute else gate_up)
        ctx.mlp = mlp
        if in_recompute():
            # Activation checkpointing runs this for what is saved above; the output itself is not used.
            return x.view_as(x)
        return mlp.down.forward(gated, down_inner, down_cast, x)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> Any:
        x, rstd, inner, cast, down_cast, down_inner, gate_up = ctx.saved_tensors
        mlp: GatedMlp = ctx.mlp
        grad_output = grad_outputs[0].contiguous()
        grad_down_inner = mlp.down.lora_inner_grad(grad_output)
        grad_gated = mlp.down.matmul_backward(grad_output, down_cast)
        if gate_up is None:
            gate_up = mlp.gate_up.matmul(mlp.norm(x), cast)
        gate_update, up_update = mlp.gate_up.lora_updates(inner)
        output_update = mlp.down.lora_input_update(grad_down_inner)
        grad_gate_up, gated, grad_inner = swiglu_backward(
            grad_gated, gate_up, gate_update, up_update, output_update
        )
        grad_down_A = None if grad_down_inner is None else weight_grad(grad_down_inner, gated)
        grad_down = mlp.down.param_grads(grad_down_A, grad_output, down_inner, lambda: gated)  # noqa: F821
        del grad_gated, gated  # So that their memory is free during the widest product.
        grad_x, grad_norm = None, []
        if ctx.needs_input_grad[0] or mlp.norm.parameters:
            grad_normed = mlp.gate_up.input_grad(grad_gate_up, grad_inner, cast)
            grad_norm = mlp.norm.param_grads(grad_normed, x, rstd)
            grad_x = rms_norm_backward(grad_normed, x, rstd, mlp.norm.weight, grad_output)
        grad_lora_A = mlp.norm.lora_A_grad(grad_inner, x, rstd)
        grad_linear = mlp.gate_up.param_grads(grad_lora_A, grad_gate_up, inner, partial(mlp.norm, x))
        return grad_x, None, None, *grad_norm, *grad_linear, *grad_down


@dataclass(frozen=True, eq=False)
class TransformerBlock:
    """A layer: attention and MLP."""

    qkv: QkvProjection
    out: AttentionOutput
    mlp: GatedMlp

    def __call__(
        self, x: Activations, cos: Tensor, sin: Tensor, attend: Attend, recompute_mlp: bool = False
    ) -> Activations:
        """The residual stream after the layer; `recompute_mlp` as in `GatedMlp`."""
        *heads, residual = self.qkv(x, cos, sin)
        return self.mlp(self.out(attend(*heads), residual), recompute_mlp)

    def with_aliased_params(self) -> TransformerBlock:
        """The same layer with new parameters that share the adapters' memory."""
        qkv, out, mlp = self.qkv, self.out, self.mlp
        return TransformerBlock(
            replace(qkv, linear=qkv.linear.with_aliased_params()),
            replace(out, linear=out.linear.with_aliased_params()),
            replace(mlp, gate_up=mlp.gate_up.with_aliased_params(), down=mlp.down.with_aliased_params()),
        )

    @property
    def linears(self) -> tuple[FusedLinear, ...]:
        """All linear layers."""
        return self.qkv.linear, self.out.linear, self.mlp.gate_up, self.mlp.down

    @property
    def parameters(self) -> list[nn.Parameter]:
        """What is trained."""
        return [*self.qkv.parameters, *self.out.linear.parameters, *self.mlp.parameters]

    @property
    def is_trained(self) -> bool:
        """Whether any of the layer's own weights is trained."""
        norms = self.qkv.norm, self.mlp.norm, *(self.qkv.head_norms or ())
        return any(linear.is_trained for linear in self.linears) or any(norm.parameters for norm in norms)

    @property
    def num_weights(self) -> int:
        """Weights of all linear layers."""
        return sum(linear.in_features * sum(linear.out_features) for linear in self.linears)
