"""Adding an adapter's output and the residual."""

from __future__ import annotations

import torch

from tests.kernels.ops.comparing import TOKENS, WIDTH, assert_close, random, random_update, with_update
from tunesmith.kernels.ops.lora import add_lora


def test_an_adapters_output_and_the_residual_are_added() -> None:
    torch.manual_seed(0)
    x, residual, update = random(TOKENS, WIDTH), random(TOKENS, WIDTH), random_update()
    assert_close(add_lora(x, update, residual), with_update(x, update) + residual)
    assert_close(add_lora(x, update, None), with_update(x, update))
    assert_close(add_lora(x, None, residual), x + residual)
    assert add_lora(x, None, None) is x
