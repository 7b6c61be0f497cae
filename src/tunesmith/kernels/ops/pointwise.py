"""The passes over memory between a layer's products, each as one Triton kernel on a GPU and as plain PyTorch elsewhere.

Both are the same function; forward ones round where transformers' layers do. T is the number of tokens; matrices are
row-major, one row a token.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor
from torch.nn import functional

Rows = Float[Tensor, "token width"]
PerRow = Float[Tensor, "token"]
Both = Float[Tensor, "token twice_width"]
"""Gate and up side by side."""
Inner = Float[Tensor, "token rank"]
"""What adapters' first products give, side by side."""
Down = Float[Tensor, "rank width"]
"""An adapter's first matrix."""


def _kernels(rows: Tensor) -> Any:
    """What does the work where the rows are; None if it is plain PyTorch."""
    if rows.is_cuda:
        from tunesmith.kernels.ops import pointwise_triton

        return pointwise_triton
    if isinstance(rows, FakeTensor):
        from tunesmith.kernels.ops import pointwise_shapes

        return pointwise_shapes
    return None


class Added(NamedTuple):
    """What adapters of layers side by side add to their outputs: inner @ up.T."""

    inner: Float[Tensor, "token rank"]
    up: Float[Tensor, "width rank"]
    blocks: tuple[tuple[int, int], ...] = ()
    """Outputs and rank of each layer, outside of whose blocks `up` is zero; none is one layer."""

    def to(self, rows: Rows) -> Rows:
        """The rows in fp32 with this added."""
        return rows.float() + self.inner.float() @ self.up.float().T


def normalised(hidden: Rows, weight: Float[Tensor, " width"], epsilon: float) -> tuple[Rows, PerRow]:
    """RMS norm (Zhang and Sennrich 2019) of every row, and what each row was multiplied by, in fp32."""
    if (kernels := _kernels(hidden)) is not None:
        return kernels.normalised(hidden, weight, epsilon)
    wide = hidden.float()
    factor = torch.rsqrt(wide.square().mean(1) + epsilon)
    return ((wide * factor[:, None]).to(hidden.dtype) * weight).to(hidden.dtype), factor


def through_norm(
    gradient: Rows, hidden: Rows, factor: PerRow, weight: Float[Tensor, " width"], beside: Rows
) -> Rows:
    """Gradient of the norm's input, given that of its output, plus the gradient that went past it."""
    if (kernels := _kernels(hidden)) is not None:
        return kernels.through_norm(gradient, hidden, factor, weight, beside)
    unit = hidden.float() * factor[:, None]
    weighed = gradient.float() * weight.float()
    of_hidden = (weighed - unit * (weighed * unit).mean(1, keepdim=True)) * factor[:, None]
    return (of_hidden + beside.float()).to(hidden.dtype)


def of_norm(gradient: Rows, hidden: Rows, factor: PerRow) -> Float[Tensor, " width"]:
    """Gradient of the norm's weight given that of its output, in fp32."""
    if (kernels := _kernels(hidden)) is not None:
        return kernels.of_norm(gradient, hidden, factor)  # type: ignore[no-any-return]
    return (gradient.float() * hidden.float() * factor[:, None]).sum(0)


def gated(
    both: Both, to_gate: Added | None, to_up: Added | None, down: Down | None
) -> tuple[Rows, Inner | None]:
    """silu(gate) * up (Shazeer 2020), each with what its adapter adds, and its product with `down`."""
    if (kernels := _kernels(both)) is not None:
        return kernels.gated(both, to_gate, to_up, down)
    gate, up = both.chunk(2, dim=1)
    whole_gate = to_gate.to(gate) if to_gate else gate.float()
    whole_up = to_up.to(up) if to_up else up.float()
    opened = (functional.silu(whole_gate).to(gate.dtype).float() * whole_up).to(gate.dtype)
    return opened, None if down is None else opened @ down.T


def through_gate(
    gradient: Rows, both: Both, to_gate: Added | None, to_up: Added | None, more: Added | None
) -> tuple[Both, Rows, Inner | None]:
    """Gradients of gate and up given that of silu(gate) * up (of which `more` is a part still to be added),
    silu(gate) * up once more, and the gradients of what both adapters' `down` gave, side by side.

    `gradient` and `both` may be written over.
    """
    if (kernels := _kernels(both)) is not None:
        return kernels.through_gate(gradient, both, to_gate, to_up, more)
    kind = both.dtype
    gate, up = both.chunk(2, dim=1)
    whole_gate = to_gate.to(gate) if to_gate else gate.float()
    whole_up = to_up.to(up) if to_up else up.float()
    whole = more.to(gradient) if more else gradient.float()
    share = torch.sigmoid(whole_gate)
    opened = whole_gate * share
    of_gate = (whole * whole_up * share * (1 + whole_gate * (1 - share))).to(kind)
    of_up = (whole * opened).to(kind)
    of_inner = [of_one @ to.up for of_one, to in ((of_gate, to_gate), (of_up, to_up)) if to]
    opened = (opened.to(kind).float() * whole_up).to(kind)
    return torch.cat([of_gate, of_up], 1), opened, torch.cat(of_inner, 1) if of_inner else None


def summed(rows: Rows, added: Added | None, beside: Rows | None) -> Rows:
    """The rows, what an adapter adds and what goes past both."""
    if added is None and beside is None:
        return rows
    if (kernels := _kernels(rows)) is not None:
        return kernels.summed(rows, added, beside)
    whole = added.to(rows) if added else rows.float()
    return (whole if beside is None else whole + beside.float()).to(rows.dtype)


def nats(logits: Rows, targets: Int[Tensor, " token"]) -> tuple[PerRow, PerRow]:
    """-ln softmax(logits)[target] of every row, and the logarithm of the sum of its exponentials, in fp32."""
    if (kernels := _kernels(logits)) is not None:
        return kernels.nats(logits, targets)
    logarithms = logits.float().logsumexp(1)
    return logarithms - logits.float().gather(1, targets.long()[:, None])[:, 0], logarithms


def through_nats(
    gradient: Float[Tensor, ""], logits: Rows, targets: Int[Tensor, " token"], logarithms: PerRow
) -> Rows:
    """Gradient of the logits given that of the sum over rows; they may be written over."""
    if (kernels := _kernels(logits)) is not None:
        return kernels.through_nats(gradient, logits, targets, logarithms)
    shares = (logits.float() - logarithms[:, None]).exp()
    shares.scatter_add_(1, targets.long()[:, None], -torch.ones_like(shares[:, :1]))
    return (shares * gradient).to(logits.dtype)


class Heads(NamedTuple):
    """How queries, keys and values stand side by side in a row."""

    queries: int
    keys: int
    """Heads; there are as many of values."""
    width: int
    """Of a head."""

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Columns of queries, keys and values."""
        return self.queries * self.width, self.keys * self.width, self.keys * self.width


class Turning(NamedTuple):
    """How queries and keys are turned by their positions (Su et al. 2021), after a norm of each head if there is
    one."""

    cosine: Float[Tensor, "token head_width"]
    sine: Float[Tensor, "token head_width"]
    weights: tuple[Float[Tensor, " head_width"], Float[Tensor, " head_width"]] | None
    """Of the norms of queries and of keys."""
    epsilon: float


def turned(rows: Rows, heads: Heads, turning: Turning) -> tuple[Tensor, Tensor, Tensor]:
    """Queries and keys, each head normalised and turned, and values, out of rows that may be written over if there are
    no norms."""
    if (kernels := _kernels(rows)) is not None:
        return kernels.turned(rows, heads, turning)
    *raw, values = rows.split(heads.sizes, dim=1)
    queries, keys = (
        _turned(one, turning, weight) for one, weight in zip(raw, _weights(turning), strict=True)
    )
    return queries, keys, values


def turned_back(
    gradients: tuple[Tensor, Tensor, Tensor],
    rows: Rows | None,
    heads: Heads,
    turning: Turning,
    of_weights: bool = False,
) -> tuple[Rows, tuple[Tensor, ...]]:
    """Gradient of the rows given those of queries, keys and values; the rows are needed if there were norms. And those
    of both norms' weights in fp32, if they are asked for."""
    if (kernels := _kernels(gradients[0])) is not None:
        return kernels.turned_back(gradients, rows, heads, turning, of_weights)
    raw = [None] * 3 if rows is None else rows.split(heads.sizes, dim=1)
    found = [
        _turned_back(gradient, one, turning, weight)
        for gradient, one, weight in zip(gradients, raw, _weights(turning), strict=False)
    ]
    of_rows = torch.cat([*(of_raw for of_raw, _ in found), gradients[2]], dim=1)
    return of_rows, tuple(of_weight for _, of_weight in found if of_weights)


def _weights(turning: Turning) -> tuple[Tensor | None, Tensor | None]:
    return turning.weights or (None, None)


def _turned(rows: Rows, turning: Turning, weight: Tensor | None) -> Rows:
    heads = _heads(rows, turning)
    if weight is not None:
        heads = _unit(heads, turning)[0].to(rows.dtype).float() * weight.float()
        heads = heads.to(rows.dtype).float()
    cosine, sine = turning.cosine[:, None].float(), turning.sine[:, None].float()
    return (heads * cosine + _half_turned(heads) * sine).flatten(1).to(rows.dtype)


def _turned_back(
    gradient: Rows, rows: Rows | None, turning: Turning, weight: Tensor | None
) -> tuple[Rows, Tensor]:
    """Gradients of the rows and of the norm's weight."""
    heads = _heads(gradient, turning)
    cosine, sine = turning.cosine[:, None].float(), turning.sine[:, None].float()
    of_heads = heads * cosine - _half_turned(heads * sine)
    of_weight = of_heads.new_empty(0)
    if weight is not None:
        assert rows is not None
        unit, factor = _unit(_heads(rows, turning), turning)
        of_weight = (of_heads * unit).sum((0, 1))
        weighed = of_heads * weight.float()
        of_heads = (weighed - unit * (weighed * unit).mean(-1, keepdim=True)) * factor
    return of_heads.flatten(1).to(gradient.dtype), of_weight


def _heads(rows: Rows, turning: Turning) -> Float[Tensor, "token head head_width"]:
    return rows.float().unflatten(1, (-1, turning.cosine.shape[1]))


def _unit(heads: Tensor, turning: Turning) -> tuple[Tensor, Tensor]:
    factor = torch.rsqrt(heads.square().mean(-1, keepdim=True) + turning.epsilon)
    return heads * factor, factor


def _half_turned(heads: Tensor) -> Tensor:
    first, second = heads.chunk(2, dim=-1)
    return torch.cat([-second, first], dim=-1)
