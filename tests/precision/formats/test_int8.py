"""Weights in int8."""

from __future__ import annotations

import pytest
import torch

from tunesmith.precision.formats import precision_of
from tunesmith.precision.matmul_backends import NO_PADDING

functional = pytest.importorskip("bitsandbytes.functional")


def test_weights_take_what_bitsandbytes_allocates() -> None:
    weight, scales, _ = functional.int8_vectorwise_quant(torch.randn(100, 36).half())
    assert precision_of("int8").weight_bytes(100, 36) == weight.nbytes + scales.nbytes


def test_layers_are_not_fused() -> None:
    assert not precision_of("int8").can_fuse(NO_PADDING)
