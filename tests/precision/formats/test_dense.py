"""The backend of weights that are not quantized."""

from __future__ import annotations

import torch
from torch import nn

from tunesmith.precision.formats import precision_of
from tunesmith.precision.matmul_backends import NO_PADDING


def test_a_product_is_that_of_the_layer() -> None:
    layer, x = nn.Linear(4, 3), torch.randn(5, 4)
    backend = precision_of("fp32").matmul([layer], torch.float32, NO_PADDING)
    assert backend is not None
    torch.testing.assert_close(backend.forward(x), layer(x).detach())
    assert precision_of("fp32").matmul([layer], torch.bfloat16, NO_PADDING) is None
