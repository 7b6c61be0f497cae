"""Linear layers with frozen weights and, perhaps, an adapter, seen as the few products that they are made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from tunesmith.model.kernels.adapters import NAME, is_plain
from tunesmith.model.kernels.fp8 import Fp8Linear
from tunesmith.model.kernels.fused import Added, summed
from tunesmith.model.quantise import is_nf4

Inputs = Float[Tensor, "token in"]
Outputs = Float[Tensor, "token out"]
Inner = Float[Tensor, "token rank"]
"""What an adapter's first product gives, or those of several side by side."""

ALIGNED = 8
"""Widths that are no multiple of it keep a product off the fast matrix kernels."""
MOST_RANK = 128
"""Up to which a tile of an adapter's product fits beside the tile that it is added to."""


KINDS: dict[type, Callable[[Any], Frozen | None]] = {}
"""Kinds of layers beside those that are known here, and the products that they are."""


class Pad(NamedTuple):
    """Zeros after a layer's inputs and outputs."""

    inputs: int = 0
    outputs: int = 0


NOTHING = Pad()


class Frozen(Protocol):
    """A product with weights that get no gradient."""

    def forward(self, rows: Inputs) -> Outputs:
        """rows W^T + bias."""

    def backward(self, gradient: Outputs, onto: Inputs | None) -> Inputs:
        """gradient W, added onto `onto` (which may be written to) if there is one."""


@dataclass(frozen=True, eq=False)
class Plain:
    """In the precision of the products."""

    weight: Float[Tensor, "out in"]
    bias: Float[Tensor, "out"] | None

    def forward(self, rows: Inputs) -> Outputs:
        """See `Frozen`."""
        if self.bias is None:
            return torch.mm(rows, self.weight.T)
        return torch.addmm(self.bias, rows, self.weight.T)

    def backward(self, gradient: Outputs, onto: Inputs | None) -> Inputs:
        """See `Frozen`."""
        return torch.mm(gradient, self.weight) if onto is None else onto.addmm_(gradient, self.weight)


@dataclass(frozen=True, eq=False)
class Nf4:
    """In 4 bits, made whole for each product."""

    layer: Any

    def forward(self, rows: Inputs) -> Outputs:
        """See `Frozen`."""
        return Plain(self._weight(rows.dtype), self.layer.bias).forward(rows)

    def backward(self, gradient: Outputs, onto: Inputs | None) -> Inputs:
        """See `Frozen`."""
        return Plain(self._weight(gradient.dtype), None).backward(gradient, onto)

    def _weight(self, dtype: torch.dtype) -> Float[Tensor, "out in"]:
        from bitsandbytes.functional import dequantize_4bit

        stored = self.layer.weight
        return dequantize_4bit(stored.data, stored.quant_state).to(dtype)  # type: ignore[no-any-return]


@dataclass(frozen=True, eq=False)
class Fp8:
    """In 8 bits, multiplied in 8 bits."""

    layer: Fp8Linear

    def forward(self, rows: Inputs) -> Outputs:
        """See `Frozen`."""
        return self.layer(rows)  # type: ignore[no-any-return]

    def backward(self, gradient: Outputs, onto: Inputs | None) -> Inputs:
        """See `Frozen`."""
        of_rows = self.layer.to_input(gradient)
        return of_rows if onto is None else onto.add_(of_rows)


@dataclass(frozen=True, eq=False)
class Adapter:
    """Both matrices of an adapter, and where their copies in the precision of the products are."""

    down: nn.Parameter
    up: nn.Parameter
    scale: float
    down_copy: Float[Tensor, "rank in"]
    up_copy: Float[Tensor, "out rank"]
    """Times the scale."""

    @property
    def rank(self) -> int:
        """Rows of `down`."""
        return self.down.shape[0]


@dataclass(frozen=True, eq=False)
class Projection:
    """One linear layer; its sizes may be padded with zeros to what the matrix kernels like."""

    base: Frozen
    adapter: Adapter | None

    def added(self, inner: Inner | None) -> Added | None:
        """What the adapter adds to the output."""
        return None if inner is None else Added(inner, self._adapter.up_copy)

    def added_to_input(self, of_inner: Inner | None) -> Added | None:
        """What the adapter adds to the input's gradient."""
        return None if of_inner is None else Added(of_inner, self._adapter.down_copy.T)

    def to_inner(self, gradient: Outputs) -> Inner | None:
        """Gradient of what `down` gave, from that of the output."""
        if self.adapter is None:
            return None
        return gradient @ self.adapter.up_copy

    def of_up(self, gradient: Outputs, inner: Inner | None) -> Float[Tensor, "_ rank"] | None:
        """Gradient of `up`, from that of the output."""
        if inner is None:
            return None
        whole = wide_product(gradient, inner)
        if self._adapter.scale != 1.0:
            whole.mul_(self._adapter.scale)
        return whole[: self._adapter.up.shape[0]].to(self._adapter.up.dtype)

    @property
    def _adapter(self) -> Adapter:
        assert self.adapter is not None
        return self.adapter


@dataclass(frozen=True, eq=False)
class Fan:
    """Projections of one input: their adapters' first products are one."""

    projections: tuple[Projection, ...]
    downs: Float[Tensor, "rank in"] | None
    """Copies of all `down`, one below the other; None without adapters."""

    @property
    def parameters(self) -> list[nn.Parameter]:
        """Of all adapters, `down` before `up`."""
        return [weight for one in self.projections if (two := one.adapter) for weight in (two.down, two.up)]

    def inner(self, rows: Inputs) -> Inner | None:
        """rows A^T of all adapters, side by side."""
        return None if self.downs is None else rows @ self.downs.T

    def pieces(self, inner: Inner | None) -> list[Tensor | None]:
        """Each projection's share of `inner`."""
        pieces: list[Tensor | None] = []
        start = 0
        for one in self.projections:
            rank = one.adapter.rank if one.adapter else 0
            pieces.append(inner[:, start : start + rank] if inner is not None and rank else None)
            start += rank
        return pieces

    def added(self, inner: Inner | None) -> list[Added | None]:
        """What each adapter adds to its output."""
        return [one.added(piece) for one, piece in zip(self.projections, self.pieces(inner), strict=True)]

    def products(self, rows: Inputs, inner: Inner | None, beside: Tensor | None = None) -> list[Tensor]:
        """Each output, adapter and all, plus what goes past."""
        added = zip(self.projections, self.added(inner), strict=True)
        return [summed(one.base.forward(rows), more, beside) for one, more in added]

    def to_inner(self, gradients: Sequence[Tensor]) -> Inner | None:
        """Gradient of `inner`, from those of the outputs."""
        of_each = [one.to_inner(gradient) for one, gradient in zip(self.projections, gradients, strict=True)]
        there = [of_inner for of_inner in of_each if of_inner is not None]
        return torch.cat(there, dim=1) if len(there) > 1 else there[0] if there else None

    def to_input(self, gradients: Sequence[Tensor], of_inner: Inner | None) -> Inputs:
        """Gradient of the input, from those of the outputs and of `inner`."""
        whole = None if of_inner is None or self.downs is None else of_inner @ self.downs
        for one, gradient in zip(self.projections, gradients, strict=True):
            whole = one.base.backward(gradient, whole)
        assert whole is not None
        return whole

    def of_parameters(
        self, of_downs: Float[Tensor, "rank in"] | None, gradients: Sequence[Tensor], inner: Inner | None
    ) -> list[Tensor]:
        """Gradients of `parameters`: those of all `down` are given."""
        if of_downs is None:
            return []
        found: list[Tensor] = []
        start = 0
        for one, gradient, piece in zip(self.projections, gradients, self.pieces(inner), strict=True):
            if one.adapter is None:
                continue
            down = of_downs[start : start + one.adapter.rank, : one.adapter.down.shape[1]]
            start += one.adapter.rank
            of_up = one.of_up(gradient, piece)
            assert of_up is not None
            found += [down.to(one.adapter.down.dtype), of_up]
        return found


def wide_product(left: Float[Tensor, "token a"], right: Float[Tensor, "token b"]) -> Float[Tensor, "a b"]:
    """left^T right, summed over tokens and left in fp32."""
    if left.is_cuda and left.dtype != torch.float32:
        return torch.mm(left.T, right, out_dtype=torch.float32)
    return (left.T @ right).float()


class Copies:
    """A layer's adapters in the precision of the products. They are copied at every forward pass: nothing tells when an
    optimizer has moved the weights, and it is little beside the pass."""

    def __init__(self) -> None:
        self._of: list[Tensor] = []
        self._in: list[Tensor] = []
        self._scales: list[float] = []

    def of(self, weight: nn.Parameter, place: Tensor, scale: float = 1.0) -> Tensor:
        """`place`, which holds zeros, from the next refresh on begins with the weight times the scale."""
        rows, columns = weight.shape
        self._of.append(weight)
        self._in.append(place[:rows, :columns])
        self._scales.append(scale)
        return place

    @torch.no_grad()
    def refresh(self) -> None:
        """Copy the weights as they are now."""
        if self._of:
            torch._foreach_copy_(self._in, torch._foreach_mul(self._of, self._scales))


def fan(layers: Sequence[nn.Module], copies: Copies, compute: torch.dtype, pad: Pad = NOTHING) -> Fan | None:
    """The layers as projections of one input, their sizes padded; None if one of them has weights of a kind that this
    does not know, or weights or adapters that it cannot train."""
    bases = [_frozen(layer, compute, pad) for layer in layers]
    known = [base for base in bases if base is not None]
    loras = [_lora(layer) for layer in layers]
    if len(known) < len(layers) or any(lora is not None and not _fits(lora) for lora in loras):
        return None
    return Fan(*_with_adapters(known, loras, copies, compute, pad))


def _with_adapters(
    bases: Sequence[Frozen], loras: Sequence[Any], copies: Copies, compute: torch.dtype, pad: Pad
) -> tuple[tuple[Projection, ...], Tensor | None]:
    """Projections, and the copies of all `down`."""
    there = [lora for lora in loras if lora is not None]
    if not there:
        return tuple(Projection(base, None) for base in bases), None
    first = there[0].lora_A[NAME].weight
    ranks = [lora.lora_A[NAME].weight.shape[0] for lora in there]
    downs = first.new_zeros(sum(ranks), first.shape[1] + pad.inputs, dtype=compute)
    places = iter(downs.split(ranks))
    projections = []
    for base, lora in zip(bases, loras, strict=True):
        adapter = None
        if lora is not None:
            down, up = lora.lora_A[NAME].weight, lora.lora_B[NAME].weight
            room = up.new_zeros(up.shape[0] + pad.outputs, up.shape[1], dtype=compute)
            adapter = Adapter(
                down,
                up,
                lora.scaling[NAME],
                copies.of(down, next(places)),
                copies.of(up, room, lora.scaling[NAME]),
            )
        projections.append(Projection(base, adapter))
    return tuple(projections), downs


def _lora(layer: Any) -> Any:
    """The layer if PEFT has wrapped it, else None."""
    from peft.tuners.lora import LoraLayer

    return layer if isinstance(layer, LoraLayer) else None


def _fits(lora: Any) -> bool:
    """Whether the adapter is one that a projection can have."""
    return (
        is_plain(lora)
        and not any(isinstance(drop, nn.Dropout) and drop.p for drop in lora.lora_dropout.values())
        and lora.lora_A[NAME].weight.shape[0] <= MOST_RANK
    )


def _frozen(layer: Any, compute: torch.dtype, pad: Pad) -> Frozen | None:
    """The layer's own product; None if it is trained or of a kind that is not known."""
    base = layer if _lora(layer) is None else layer.get_base_layer()
    if any(weight.requires_grad for weight in base.parameters(recurse=False)):
        return None
    if pad == NOTHING and type(base) in KINDS:
        return KINDS[type(base)](base)
    if pad == NOTHING and is_nf4(base):
        return Nf4(base)
    if (
        pad == NOTHING
        and isinstance(base, Fp8Linear)
        and base.in_eight_bits
        and len(base.weight) == base.out_features
    ):
        return Fp8(base)
    if type(base) is not nn.Linear or base.weight.dtype != compute:
        return None
    if pad == NOTHING:
        return Plain(base.weight, base.bias)
    weight = functional.pad(base.weight, (0, pad.inputs, 0, pad.outputs))
    return Plain(weight, None if base.bias is None else functional.pad(base.bias, (0, pad.outputs)))
