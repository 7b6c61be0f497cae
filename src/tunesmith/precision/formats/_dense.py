"""What bf16 and fp32 share: weights as PyTorch's linear layers store them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tunesmith.precision.formats import Precision

if TYPE_CHECKING:
    import torch

    from tunesmith.precision.matmul_backends import MatmulBackend, Padding


class Dense(Precision):
    """Weights that are not quantized."""

    def matmul(self, layers: Sequence[Any], compute: torch.dtype, padding: Padding) -> MatmulBackend | None:
        """A plain product, for linear layers in the products' dtype."""
        from tunesmith.precision.matmul_backends import dense_matmul

        return dense_matmul(layers, compute, padding)
