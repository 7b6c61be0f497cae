"""Weights in fp32."""

from __future__ import annotations

import torch

from tunesmith.precision.formats import precision_of


def test_products_are_in_fp32_on_four_bytes_a_weight() -> None:
    assert precision_of("fp32").compute_dtype == torch.float32
    assert precision_of("fp32").weight_bytes(3, 5) == torch.empty(3, 5).nbytes
