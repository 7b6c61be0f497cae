"""Random tensors in fp64, and comparison to the precision of fp32."""

from __future__ import annotations

import torch
from torch import Tensor

from tunesmith.kernels.ops.lora import LoraUpdate

TOKENS, WIDTH, RANK = 5, 8, 2


def random(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.double)


def random_update() -> LoraUpdate:
    return LoraUpdate(random(TOKENS, RANK), random(WIDTH, RANK))


def with_update(x: Tensor, update: LoraUpdate | None) -> Tensor:
    return x if update is None else x + update.inner @ update.lora_B.T


def assert_close(actual: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(actual.double(), expected.double(), rtol=1e-5, atol=1e-5)
