"""The passes over memory between a layer's products, each as one Triton kernel on a GPU and as plain PyTorch elsewhere.

Both are the same function; forward ones round where transformers' layers do. T is the number of tokens; matrices are
row-major, one row a token.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor
from torch.nn import functional

Rows = Float[Tensor, "token width"]
PerRow = Float[Tensor, "token"]


def _kernels(rows: Tensor) -> Any:
    """What does the work where the rows are; None if it is plain PyTorch."""
    if rows.is_cuda:
        from tunesmith.model.kernels import fused_triton

        return fused_triton
    if isinstance(rows, FakeTensor):
        from tunesmith.model.kernels import fused_shapes

        return fused_shapes
    return None


class Added(NamedTuple):
    """What an adapter adds to a product's output: inner @ up.T."""

    inner: Float[Tensor, "token rank"]
    up: Float[Tensor, "width rank"]

    def to(self, rows: Rows) -> Rows:
        """The rows in fp32 with this added."""
        return rows.float() + self.inner.float() @ self.up.float().T


def normalised(hidden: Rows, weight: Float[Tensor, "width"], epsilon: float) -> tuple[Rows, PerRow]:
    """RMS norm (Zhang and Sennrich 2019) of every row, and what each row was multiplied by, in fp32."""
    if (kernels := _kernels(hidden)) is not None:
        return kernels.normalised(hidden, weight, epsilon)
    wide = hidden.float()
    factor = torch.rsqrt(wide.square().mean(1) + epsilon)
    return (wide * factor[:, None]).to(hidden.dtype) * weight, factor


def through_norm(
    gradient: Rows, hidden: Rows, factor: PerRow, weight: Float[Tensor, "width"], beside: Rows
) -> Rows:
    """Gradient of the norm's input, given that of its output, plus the gradient that went past it."""
    if (kernels := _kernels(hidden)) is not None:
        return kernels.through_norm(gradient, hidden, factor, weight, beside)
    unit = hidden.float() * factor[:, None]
    weighed = gradient.float() * weight.float()
    of_hidden = (weighed - unit * (weighed * unit).mean(1, keepdim=True)) * factor[:, None]
    return (of_hidden + beside.float()).to(hidden.dtype)


def gated(gate: Rows, up: Rows, to_gate: Added | None, to_up: Added | None) -> Rows:
    """silu(gate) * up (Shazeer 2020), each with what its adapter adds."""
    if (kernels := _kernels(gate)) is not None:
        return kernels.gated(gate, up, to_gate, to_up)
    whole_gate = to_gate.to(gate) if to_gate else gate.float()
    whole_up = to_up.to(up) if to_up else up.float()
    return (functional.silu(whole_gate).to(gate.dtype).float() * whole_up).to(gate.dtype)


def through_gate(
    gradient: Rows, gate: Rows, up: Rows, to_gate: Added | None, to_up: Added | None, more: Added | None
) -> tuple[Rows, Rows, Rows]:
    """Gradients of gate and up given that of silu(gate) * up (of which `more` is a part still to be added), and
    silu(gate) * up once more."""
    if (kernels := _kernels(gate)) is not None:
        return kernels.through_gate(gradient, gate, up, to_gate, to_up, more)
    whole_gate = to_gate.to(gate) if to_gate else gate.float()
    whole_up = to_up.to(up) if to_up else up.float()
    whole = more.to(gradient) if more else gradient.float()
    share = torch.sigmoid(whole_gate)
    opened = whole_gate * share
    of_gate = whole * whole_up * share * (1 + whole_gate * (1 - share))
    kind = gate.dtype
    return of_gate.to(kind), (whole * opened).to(kind), (opened.to(kind).float() * whole_up).to(kind)


def summed(rows: Rows, added: Added | None, beside: Rows | None) -> Rows:
    """The rows, what an adapter adds and what goes past both."""
    if added is None and beside is None:
        return rows
    if (kernels := _kernels(rows)) is not None:
        return kernels.summed(rows, added, beside)
    whole = added.to(rows) if added else rows.float()
    return (whole if beside is None else whole + beside.float()).to(rows.dtype)


class Turning(NamedTuple):
    """How queries or keys are turned by their positions (Su et al. 2021), after a norm of each head if there is one."""

    cosine: Float[Tensor, "token head_width"]
    sine: Float[Tensor, "token head_width"]
    weight: Float[Tensor, "head_width"] | None
    """Of the norm."""
    epsilon: float


def turned(rows: Rows, turning: Turning) -> Rows:
    """Each head of every row, normalised and turned."""
    if (kernels := _kernels(rows)) is not None:
        return kernels.turned(rows, turning)
    heads = _heads(rows, turning)
    if turning.weight is not None:
        heads = _unit(heads, turning)[0].to(rows.dtype).float() * turning.weight.float()
        heads = heads.to(rows.dtype).float()
    cosine, sine = turning.cosine[:, None].float(), turning.sine[:, None].float()
    return (heads * cosine + _half_turned(heads) * sine).flatten(1).to(rows.dtype)


def turned_back(gradient: Rows, rows: Rows | None, turning: Turning) -> Rows:
    """Gradient of `rows` given that of what they were turned into; the rows are needed if there was a norm."""
    if (kernels := _kernels(gradient)) is not None:
        return kernels.turned_back(gradient, rows, turning)
    heads = _heads(gradient, turning)
    cosine, sine = turning.cosine[:, None].float(), turning.sine[:, None].float()
    of_heads = heads * cosine - _half_turned(heads * sine)
    if turning.weight is not None:
        assert rows is not None
        unit, factor = _unit(_heads(rows, turning), turning)
        weighed = of_heads * turning.weight.float()
        of_heads = (weighed - unit * (weighed * unit).mean(-1, keepdim=True)) * factor
    return of_heads.flatten(1).to(gradient.dtype)


def _heads(rows: Rows, turning: Turning) -> Float[Tensor, "token head head_width"]:
    return rows.float().unflatten(1, (-1, turning.cosine.shape[1]))


def _unit(heads: Tensor, turning: Turning) -> tuple[Tensor, Tensor]:
    factor = torch.rsqrt(heads.square().mean(-1, keepdim=True) + turning.epsilon)
    return heads * factor, factor


def _half_turned(heads: Tensor) -> Tensor:
    first, second = heads.chunk(2, dim=-1)
    return torch.cat([-second, first], dim=-1)
