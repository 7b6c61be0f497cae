"""Adding what LoRA adapters (Hu et al. 2021) contribute to the output of linear layers.

For a layer with weight W, adapter matrices A (rank, in) and B (out, rank) and scale s:

    y = x W^T + s (x A^T) B^T + residual

The two large operands come out of matrix products: x W^T from the layer's own, `inner` = x A^T from the adapter's
first. `add_lora` then reads x W^T once, adds inner B^T and the residual connection, and writes y once. PEFT's own
forward pass makes a copy of the input and two more passes over y instead.

Several layers with the same input are treated as one: their outputs lie next to each other in a row, and so do their
inner activations. B is then block-diagonal: layer i fills rows of its outputs and columns of its rank, everything else
is zero. `blocks` names the sizes of the blocks so that a kernel can skip the zeros. Copies of B are already multiplied
by the scale.
"""

from __future__ import annotations

from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor

from tunesmith.kernels.ops import Activations
from tunesmith.kernels.ops.dispatch import implementation


class LoraUpdate(NamedTuple):
    """The product inner B^T that is to be added to an output, not yet computed."""

    inner: Float[Tensor, "token rank"]
    lora_B: Float[Tensor, "width rank"]
    blocks: tuple[tuple[int, int], ...] = ()
    """(outputs, rank) of each layer if `lora_B` is block-diagonal; empty for a single layer."""

    def added_to(self, x: Activations) -> Activations:
        """x + inner B^T in fp32."""
        return x.float() + self.inner.float() @ self.lora_B.float().T


def add_lora(x: Activations, update: LoraUpdate | None, residual: Activations | None) -> Activations:
    """x + inner B^T + residual, rounded once. May be written into `x`."""
    if update is None and residual is None:
        return x
    if (kernels := implementation(x, "lora")) is not None:
        return kernels.add_lora(x, update, residual)
    wide = update.added_to(x) if update else x.float()
    return (wide if residual is None else wide + residual.float()).to(x.dtype)
