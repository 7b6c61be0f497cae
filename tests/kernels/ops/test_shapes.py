"""Without data the operations return the shapes and dtypes that they return with data."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from tunesmith.kernels.ops import cross_entropy, lora, rms_norm, rope, swiglu
from tunesmith.kernels.ops.lora import LoraUpdate
from tunesmith.kernels.ops.rope import HeadLayout, RopeTables
from tunesmith.precision.kernel_backend import shapes_only

TOKENS, WIDTH = 5, 8
LAYOUT = HeadLayout(2, 1, 4)


def zeros(*shape: int, dtype: torch.dtype = torch.bfloat16) -> Tensor:
    return torch.zeros(*shape, dtype=dtype)


def rows() -> Tensor:
    return zeros(TOKENS, WIDTH)


def qkv() -> Tensor:
    return zeros(TOKENS, sum(LAYOUT.sizes))


def targets() -> Tensor:
    return torch.zeros(TOKENS, dtype=torch.int64)


def per_token() -> Tensor:
    return torch.zeros(TOKENS)


def tables(has_norms: bool = True) -> RopeTables:
    weights = (torch.zeros(4), torch.zeros(4)) if has_norms else None
    return RopeTables(torch.zeros(TOKENS, 4), torch.zeros(TOKENS, 4), weights, 1e-5)


def update() -> LoraUpdate:
    return LoraUpdate(zeros(TOKENS, 2), zeros(WIDTH, 2))


def rope_backward(needs_weight_grads: bool) -> tuple[Tensor, ...]:
    grad_outputs: Any = qkv().split(LAYOUT.sizes, dim=1)
    grad_qkv, grad_weights = rope.rope_backward(grad_outputs, qkv(), LAYOUT, tables(), needs_weight_grads)
    return grad_qkv, *grad_weights


CALLS: dict[str, Any] = {
    "rms_norm": lambda: rms_norm.rms_norm(rows(), zeros(WIDTH), 1e-5),
    "rms_norm_backward": lambda: rms_norm.rms_norm_backward(
        rows(), rows(), per_token(), torch.zeros(WIDTH), rows()
    ),
    "rms_norm_weight_grad": lambda: rms_norm.rms_norm_weight_grad(rows(), rows(), per_token()),
    "add_lora": lambda: lora.add_lora(rows(), update(), rows()),
    "swiglu": lambda: swiglu.swiglu(zeros(TOKENS, 2 * WIDTH), update(), None, zeros(3, WIDTH)),
    "swiglu without a next adapter": lambda: swiglu.swiglu(zeros(TOKENS, 2 * WIDTH), None, update(), None),
    "swiglu_backward": lambda: swiglu.swiglu_backward(
        rows(), zeros(TOKENS, 2 * WIDTH), update(), None, update()
    ),
    "cross_entropy_forward": lambda: cross_entropy.cross_entropy_forward(rows(), targets()),
    "cross_entropy_backward": lambda: cross_entropy.cross_entropy_backward(
        torch.ones(()), rows(), targets(), per_token()
    ),
    "apply_rope": lambda: rope.apply_rope(qkv(), LAYOUT, tables()),
    "apply_rope without norms": lambda: rope.apply_rope(qkv(), LAYOUT, tables(has_norms=False)),
    "rope_backward": lambda: rope_backward(False),
    "rope_backward of weights": lambda: rope_backward(True),
}


@pytest.mark.parametrize("name", CALLS)
def test_shapes_and_dtypes_are_those_of_the_computation(name: str) -> None:
    computed = CALLS[name]()
    with shapes_only(), FakeTensorMode():
        shaped = CALLS[name]()
    pairs = zip(computed, shaped, strict=True) if isinstance(computed, tuple) else [(computed, shaped)]
    for expected, actual in pairs:
        if expected is None:
            assert actual is None
            continue
        assert (expected.shape, expected.dtype) == (actual.shape, actual.dtype)
