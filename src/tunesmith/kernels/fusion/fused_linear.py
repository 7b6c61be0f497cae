"""Linear layers with the same input computed as one: frozen with or without LoRA, or trained themselves.

Queries, keys and values (or gate and up) multiply the same x. Their weights are stacked, so that one large product
replaces two or three small ones. With adapters on them (Hu et al. 2021):

    inner       = x A^T                          A: all lora_A stacked          (rank, in)
    y           = x W^T + inner B^T              B: all scaled lora_B, block-diagonal  (out, rank)

    grad_inner  = grad_y B
    grad_x      = grad_y W + grad_inner A
    grad_A      = grad_inner^T x
    grad_B_i    = scale_i * grad_y_i^T inner_i   for layer i's columns of y and of inner

Adapters are trained in fp32, and products want 16 bits. `FusedLinear` holds copies of all adapters' matrices in the
products' dtype, stacked and scaled; `ScaledCopies.refresh` brings them up to date at the start of every forward pass,
since nothing tells when an optimizer has changed the parameters.

For frozen weights how x W^T and grad_y W are computed is a `MatmulBackend` of the weights' precision. Trained weights
are cast for each forward pass, and the cast copy is kept for its backward pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from tunesmith.kernels.fusion.lora_linear import NAME, is_plain
from tunesmith.kernels.ops import LoraInner
from tunesmith.kernels.ops.lora import LoraUpdate, add_lora
from tunesmith.kernels.ops.scaled_copy import ScaledCopies
from tunesmith.precision.formats import frozen_matmul
from tunesmith.precision.matmul_backends import (
    NO_PADDING,
    DenseMatmul,
    Inputs,
    MatmulBackend,
    Outputs,
    Padding,
    TrainedMatmul,
    trained_matmul,
    weight_grad,
)

CastWeight = Float[Tensor, "out in"] | None
"""Copy of trained weights in the products' dtype; None for frozen weights."""
MAX_RANK = 128
"""The kernels that add an adapter's product hold a (64, rank) tile of it in registers."""


@dataclass(frozen=True, eq=False)
class LoraPair:
    """Both trained matrices of a layer's adapter."""

    lora_A: nn.Parameter
    lora_B: nn.Parameter
    scale: float

    @property
    def rank(self) -> int:
        """Rows of `lora_A`."""
        return self.lora_A.shape[0]


@dataclass(frozen=True, eq=False)
class FusedLinear:
    """Linear layers with the same input, as one. Sizes may be padded with zeros to what matrix kernels prefer."""

    backend: MatmulBackend | TrainedMatmul
    in_features: int
    out_features: tuple[int, ...]
    """Of each layer."""
    adapters: tuple[LoraPair | None, ...]
    """Of each layer."""
    lora_A: Float[Tensor, "rank in"] | None
    """Copies of all adapters' `lora_A` in the products' dtype, stacked; None without adapters."""
    lora_B: Float[Tensor, "out rank"] | None
    """Copies of all adapters' `lora_B` times their scales, block-diagonal."""

    def with_aliased_params(self) -> FusedLinear:
        """The same layers with new parameters that share the adapters' memory.

        Autograd nodes that hold the original parameters do not know the new ones.
        """
        adapters = (
            pair
            and replace(pair, lora_A=nn.Parameter(pair.lora_A.data), lora_B=nn.Parameter(pair.lora_B.data))
            for pair in self.adapters
        )
        return replace(self, adapters=tuple(adapters))

    @property
    def is_trained(self) -> bool:
        """Whether the layers' own weights are trained."""
        return isinstance(self.backend, TrainedMatmul)

    @property
    def parameters(self) -> list[nn.Parameter]:
        """What is trained: the layers' own weights, or each adapter's `lora_A` and `lora_B`."""
        if isinstance(self.backend, TrainedMatmul):
            return self.backend.parameters
        return [weight for pair in self.adapters if pair for weight in (pair.lora_A, pair.lora_B)]

    @property
    def blocks(self) -> tuple[tuple[int, int], ...]:
        """Outputs and rank of each layer."""
        ranks = (pair.rank if pair else 0 for pair in self.adapters)
        return tuple(zip(self.out_features, ranks, strict=True))

    def lora_inner(self, x: Inputs) -> LoraInner | None:
        """x A^T of all adapters."""
        return None if self.lora_A is None else x @ self.lora_A.T

    def lora_update(self, inner: LoraInner | None) -> LoraUpdate | None:
        """What the adapters add to all outputs."""
        if inner is None or self.lora_B is None:
            return None
        return LoraUpdate(inner, self.lora_B, self.blocks)

    def lora_updates(self, inner: LoraInner | None) -> list[LoraUpdate | None]:
        """What each layer's adapter adds to that layer's outputs."""
        if inner is None or self.lora_B is None:
            return [None] * len(self.out_features)
        return [
            LoraUpdate(inner[:, ranks], self.lora_B[outputs, ranks]) if ranks.stop > ranks.start else None
            for outputs, ranks in self._slices()
        ]

    def lora_input_update(self, grad_inner: LoraInner | None) -> LoraUpdate | None:
        """What the adapters add to the gradient of the input."""
        return None if grad_inner is None or self.lora_A is None else LoraUpdate(grad_inner, self.lora_A.T)

    def cast_weight(self, dtype: torch.dtype) -> CastWeight:
        """Trained weights in the products' dtype, for a forward pass and its backward pass."""
        return self.backend.cast_weight(dtype) if isinstance(self.backend, TrainedMatmul) else None

    def matmul(self, x: Inputs, cast: CastWeight) -> Outputs:
        """x W^T + bias, without adapters."""
        if isinstance(self.backend, TrainedMatmul):
            assert cast is not None
            return self.backend.forward(x, cast)
        return self.backend.forward(x)

    def matmul_backward(self, grad_output: Outputs, cast: CastWeight) -> Inputs:
        """Gradient of the input, without the adapters' part."""
        if isinstance(self.backend, TrainedMatmul):
            assert cast is not None
            return DenseMatmul(cast, None).backward(grad_output)
        return self.backend.backward(grad_output)

    def forward(
        self, x: Inputs, inner: LoraInner | None, cast: CastWeight, residual: Tensor | None = None
    ) -> Outputs:
        """All outputs next to each other, with adapters, plus the residual."""
        return add_lora(self.matmul(x, cast), self.lora_update(inner), residual)

    def lora_inner_grad(self, grad_output: Outputs) -> LoraInner | None:
        """Gradient of `lora_inner`."""
        return None if self.lora_B is None else grad_output @ self.lora_B

    def input_grad(self, grad_output: Outputs, grad_inner: LoraInner | None, cast: CastWeight) -> Inputs:
        """Gradient of the input, with adapters."""
        grad_x = self.matmul_backward(grad_output, cast)
        if grad_inner is None or self.lora_A is None:
            return grad_x
        return grad_x.addmm_(grad_inner, self.lora_A)

    def param_grads(
        self,
        grad_lora_A: Float[Tensor, "rank in"] | None,
        grad_output: Outputs,
        inner: LoraInner | None,
        make_x: Callable[[], Inputs],
    ) -> list[Tensor]:
        """Gradients of `parameters`.

        The gradient of the stacked `lora_A` is given, since it may be had without the input. `make_x` returns the
        input and is called only if the layers' own weights are trained.
        """
        if isinstance(self.backend, TrainedMatmul):
            return self.backend.param_grads(grad_output, make_x())
        if grad_lora_A is None or inner is None:
            return []
        grads: list[Tensor] = []
        for pair, (outputs, ranks) in zip(self.adapters, self._slices(), strict=True):
            if pair is None:
                continue
            grad_lora_B = weight_grad(grad_output[:, outputs], inner[:, ranks])
            if pair.scale != 1.0:
                grad_lora_B.mul_(pair.scale)
            grads += [
                grad_lora_A[ranks, : pair.lora_A.shape[1]].to(pair.lora_A.dtype),
                grad_lora_B[: pair.lora_B.shape[0]].to(pair.lora_B.dtype),
            ]
        return grads

    def _slices(self) -> Iterator[tuple[slice, slice]]:
        """Columns of each layer among all outputs, and of its adapter among all ranks."""
        output, rank = 0, 0
        for num_outputs, num_ranks in self.blocks:
            yield slice(output, output + num_outputs), slice(rank, rank + num_ranks)
            output, rank = output + num_outputs, rank + num_ranks


def fuse_linears(
    layers: Sequence[nn.Module], copies: ScaledCopies, compute: torch.dtype, padding: Padding = NO_PADDING
) -> FusedLinear | None:
    """Linear layers with the same input as one, or None if they cannot be fused.

    They can if all their weights are trained, or all are frozen, of one precision with a matmul backend, and have
    either no adapter or a plain one. Copies of adapters' matrices are added to `copies`.
    """
    loras = [_as_lora(layer) for layer in layers]
    bases: list[Any] = [
        layer if lora is None else lora.get_base_layer() for layer, lora in zip(layers, loras, strict=True)
    ]
    if any(lora is not None and not _is_supported(lora) for lora in loras):
        return None
    is_trained = any(weight.requires_grad for base in bases for weight in base.parameters(recurse=False))
    backend = trained_matmul(layers, padding) if is_trained else frozen_matmul(bases, compute, padding)
    if backend is None:
        return None
    out_features = tuple(base.out_features + padding.outputs for base in bases)
    no_adapters = (None,) * len(bases)
    plain = FusedLinear(backend, bases[0].in_features + padding.inputs, out_features, no_adapters, None, None)
    return _with_adapters(plain, loras, copies, compute)


def _with_adapters(
    plain: FusedLinear, loras: Sequence[Any], copies: ScaledCopies, compute: torch.dtype
) -> FusedLinear:
    adapters = tuple(
        lora and LoraPair(lora.lora_A[NAME].weight, lora.lora_B[NAME].weight, lora.scaling[NAME])
        for lora in loras
    )
    present = [pair for pair in adapters if pair is not None]
    if not present:
        return plain
    rank = sum(pair.rank for pair in present)
    lora_A = present[0].lora_A.new_zeros(rank, plain.in_features, dtype=compute)
    lora_B = present[0].lora_B.new_zeros(sum(plain.out_features), rank, dtype=compute)
    fused = replace(plain, adapters=adapters, lora_A=lora_A, lora_B=lora_B)
    for pair, (outputs, ranks) in zip(adapters, fused._slices(), strict=True):
        if pair is not None:
            copies.add(pair.lora_A, lora_A[ranks])
            copies.add(pair.lora_B, lora_B[outputs, ranks], pair.scale)
    return fused


def _as_lora(layer: Any) -> Any:
    """The layer if it is wrapped by PEFT, else None."""
    from peft.tuners.lora import LoraLayer

    return layer if isinstance(layer, LoraLayer) else None


def _is_supported(lora: Any) -> bool:
    return (
        is_plain(lora)
        and not any(isinstance(drop, nn.Dropout) and drop.p for drop in lora.lora_dropout.values())
        and lora.lora_A[NAME].weight.shape[0] <= MAX_RANK
    )
