"""Whole layers as three functions with gradients by hand: into attention, out of it, and the gated MLP.

They are for layers whose own weights are frozen, with or without LoRA (Hu et al. 2021) on their linear layers, or all
trained. Kept for the backward pass are the residual stream, the products and the few numbers of each adapter; norms and
the gated product are made again there, where they cost one read. Gradients of neighbouring products are summed by the
products themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from tunesmith.kernels.fusion.fused_linear import Fan
from tunesmith.kernels.ops.pointwise import (
    Heads,
    Inner,
    PerRow,
    Rows,
    Turning,
    gated,
    normalised,
    of_norm,
    through_gate,
    through_norm,
    turned,
    turned_back,
)
from tunesmith.precision.matmul_backends import is_again, wide_product


@dataclass(frozen=True, eq=False)
class Norm:
    """An RMS norm."""

    weight: Float[Tensor, " width"]
    epsilon: float

    def __call__(self, hidden: Rows) -> Rows:
        """The norm of every row."""
        return normalised(hidden, self.weight, self.epsilon)[0]

    @property
    def parameters(self) -> list[nn.Parameter]:
        """The weight, if it is trained."""
        return [self.weight] if isinstance(self.weight, nn.Parameter) and self.weight.requires_grad else []

    def of_parameters(self, gradient: Rows, hidden: Rows, factor: PerRow) -> list[Tensor]:
        """Gradient of `parameters`, given that of what comes out."""
        return [of_norm(gradient, hidden, factor)] if self.parameters else []

    def of_downs(
        self, of_inner: Inner | None, hidden: Rows, factor: PerRow
    ) -> Float[Tensor, "rank width"] | None:
        """Gradient of adapters' `down` whose input is the norm of `hidden`, without making that again."""
        if of_inner is None:
            return None
        unnormed = torch.mul(of_inner, factor[:, None], out=torch.empty_like(of_inner))
        return wide_product(unnormed, hidden).mul_(self.weight)


@dataclass(frozen=True, eq=False)
class IntoAttention:
    """What stands before attention: a norm, the projections of queries, keys and values, and a norm for each head of
    the first two if the architecture has them."""

    norm: Norm
    fan: Fan
    heads: Heads
    head_norms: tuple[Norm, Norm] | None

    def turning(self, cosine: Tensor, sine: Tensor) -> Turning:
        """Of queries and keys."""
        if self.head_norms is None:
            return Turning(cosine, sine, None, 0.0)
        queries, keys = self.head_norms
        return Turning(cosine, sine, (queries.weight, keys.weight), queries.epsilon)

    @property
    def of_heads(self) -> list[nn.Parameter]:
        """Weights of the heads' norms, if they are trained."""
        return [weight for norm in self.head_norms or () for weight in norm.parameters]

    @property
    def parameters(self) -> list[nn.Parameter]:
        """What is trained."""
        return [*self.norm.parameters, *self.fan.parameters, *self.of_heads]

    def __call__(self, hidden: Rows, cosine: Tensor, sine: Tensor) -> tuple[Tensor, Tensor, Tensor, Rows]:
        """Queries and keys, turned, and values; and `hidden` for what goes past attention."""
        return _IntoAttention.apply(hidden, self, cosine, sine, *self.parameters)  # type: ignore[no-any-return]


class _IntoAttention(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, into: IntoAttention, cosine: Tensor, sine: Tensor, *_: Tensor
    ) -> Any:
        normed, factor = normalised(hidden, into.norm.weight, into.norm.epsilon)
        inner = into.fan.inner(normed)
        copy = into.fan.copy(normed.dtype)
        rows = into.fan.product(normed, inner, copy)
        ctx.save_for_backward(hidden, factor, inner, copy, cosine, sine, rows if into.head_norms else None)
        ctx.into = into
        return *turned(rows, into.heads, into.turning(cosine, sine)), hidden.view_as(hidden)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        hidden, factor, inner, copy, cosine, sine, rows = ctx.saved_tensors
        into: IntoAttention = ctx.into
        of_queries, of_keys, of_values, beside = gradients
        of_heads = of_queries, of_keys, of_values
        turning = into.turning(cosine, sine)
        of_rows, of_head_norms = turned_back(of_heads, rows, into.heads, turning, bool(into.of_heads))
        of_inner = into.fan.to_inner(of_rows)
        of_hidden, of_weight = None, []
        if ctx.needs_input_grad[0] or into.norm.parameters:
            of_normed = into.fan.to_input(of_rows, of_inner, copy)
            of_weight = into.norm.of_parameters(of_normed, hidden, factor)
            of_hidden = through_norm(of_normed, hidden, factor, into.norm.weight, beside)
        of_downs = into.norm.of_downs(of_inner, hidden, factor)
        of_fan = into.fan.of_parameters(of_downs, of_rows, inner, partial(into.norm, hidden))
        return of_hidden, None, None, None, *of_weight, *of_fan, *of_head_norms


@dataclass(frozen=True, eq=False)
class OutOfAttention:
    """The projection of what attention gave, added to what went past it."""

    fan: Fan

    def __call__(self, attended: Float[Tensor, "token heads"], beside: Rows) -> Rows:
        """The residual stream after attention."""
        return _Projection.apply(attended, beside, self.fan, *self.fan.parameters)  # type: ignore[no-any-return]


def linear(rows: Float[Tensor, "token in"], fan: Fan) -> Float[Tensor, "token out"]:
    """Linear layers by themselves."""
    return _Projection.apply(rows, None, fan, *fan.parameters)  # type: ignore[no-any-return]


class _Projection(torch.autograd.Function):
    """Linear layers, added to what goes past them if anything does."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, beside: Tensor | None, fan: Fan, *_: Tensor) -> Tensor:
        inner, copy = fan.inner(rows), fan.copy(rows.dtype)
        ctx.save_for_backward(rows, inner, copy)
        ctx.fan = fan
        return fan.product(rows, inner, copy, beside)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        rows, inner, copy = ctx.saved_tensors
        fan: Fan = ctx.fan
        gradient = gradients[0].contiguous()
        of_inner = fan.to_inner(gradient)
        of_rows = fan.to_input(gradient, of_inner, copy) if ctx.needs_input_grad[0] else None
        of_downs = None if of_inner is None else wide_product(of_inner, rows)
        of_fan = fan.of_parameters(of_downs, gradient, inner, lambda: rows)
        return of_rows, gradients[0] if ctx.needs_input_grad[1] else None, None, *of_fan


Attend = Callable[[Tensor, Tensor, Tensor], Tensor]
"""What attention makes of queries, keys and values, heads side by side in each."""


@dataclass(frozen=True, eq=False)
class GatedMlp:
    """A norm and down(silu(gate) * up), added to what goes past both."""

    norm: Norm
    fan: Fan
    """Gate and up."""
    down: Fan

    def __call__(self, hidden: Rows, again: bool = False) -> Rows:
        """The residual stream after the MLP; `again` makes gate and up once more in the backward pass instead of
        keeping them."""
        return _GatedMlp.apply(hidden, self, again, *self.parameters)  # type: ignore[no-any-return]

    @property
    def parameters(self) -> list[nn.Parameter]:
        """What is trained."""
        return [*self.norm.parameters, *self.fan.parameters, *self.down.parameters]


class _GatedMlp(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, mlp: GatedMlp, again: bool, *_: Tensor) -> Tensor:
        normed, factor = normalised(hidden, mlp.norm.weight, mlp.norm.epsilon)
        inner = mlp.fan.inner(normed)
        copy, down_copy = mlp.fan.copy(normed.dtype), mlp.down.copy(normed.dtype)
        both = mlp.fan.forward(normed, copy)
        del normed
        to_gate, to_up = mlp.fan.added_to_each(inner)
        opened, down_inner = gated(both, to_gate, to_up, mlp.down.downs)
        ctx.save_for_backward(hidden, factor, inner, copy, down_copy, down_inner, None if again else both)
        ctx.mlp = mlp
        if is_again():
            return hidden.view_as(hidden)  # Nobody looks at it.
        return mlp.down.product(opened, down_inner, down_copy, hidden)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        hidden, factor, inner, copy, down_copy, down_inner, both = ctx.saved_tensors
        mlp: GatedMlp = ctx.mlp
        gradient = gradients[0].contiguous()
        of_down_inner = mlp.down.to_inner(gradient)
        of_opened = mlp.down.backward(gradient, down_copy)
        if both is None:
            both = mlp.fan.forward(mlp.norm(hidden), copy)
        to_gate, to_up = mlp.fan.added_to_each(inner)
        more = mlp.down.added_to_input(of_down_inner)
        of_both, opened, of_inner = through_gate(of_opened, both, to_gate, to_up, more)
        of_down_down = None if of_down_inner is None else wide_product(of_down_inner, opened)
        of_down = mlp.down.of_parameters(of_down_down, gradient, down_inner, lambda: opened)  # noqa: F821
        del of_opened, opened  # They would lie beside the widest product.
        of_hidden, of_weight = None, []
        if ctx.needs_input_grad[0] or mlp.norm.parameters:
            of_normed = mlp.fan.to_input(of_both, of_inner, copy)
            of_weight = mlp.norm.of_parameters(of_normed, hidden, factor)
            of_hidden = through_norm(of_normed, hidden, factor, mlp.norm.weight, gradient)
        of_downs = mlp.norm.of_downs(of_inner, hidden, factor)
        of_fan = mlp.fan.of_parameters(of_downs, of_both, inner, partial(mlp.norm, hidden))
        return of_hidden, None, None, *of_weight, *of_fan, *of_down


@dataclass(frozen=True, eq=False)
class Block:
    """A whole layer."""

    into: IntoAttention
    out_of: OutOfAttention
    mlp: GatedMlp

    def __call__(
        self, hidden: Rows, cosine: Tensor, sine: Tensor, attend: Attend, again: bool = False
    ) -> Rows:
        """The residual stream after the layer; `again` as of the MLP."""
        *heads, beside = self.into(hidden, cosine, sine)
        return self.mlp(self.out_of(attend(*heads), beside), again)

    def apart(self) -> Block:
        """The same on parameters of its own (see `Fan.apart`); for adapters."""
        into, out_of, mlp = self.into, self.out_of, self.mlp
        return Block(
            replace(into, fan=into.fan.apart()),
            replace(out_of, fan=out_of.fan.apart()),
            replace(mlp, fan=mlp.fan.apart(), down=mlp.down.apart()),
        )

    @property
    def fans(self) -> tuple[Fan, ...]:
        """All linear layers."""
        return self.into.fan, self.out_of.fan, self.mlp.fan, self.mlp.down

    @property
    def parameters(self) -> list[nn.Parameter]:
        """What is trained."""
        return [*self.into.parameters, *self.out_of.fan.parameters, *self.mlp.parameters]

    @property
    def is_trained(self) -> bool:
        """Whether some of its own weights are."""
        norms = self.into.norm, self.mlp.norm, *(self.into.head_norms or ())
        return any(fan.is_trained for fan in self.fans) or any(norm.parameters for norm in norms)

    @property
    def size(self) -> int:
        """Weights of all linear layers."""
        return sum(fan.inputs * sum(fan.widths) for fan in self.fans)
