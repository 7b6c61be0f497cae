"""Weights in bf16."""

from __future__ import annotations

import torch

from tunesmith.precision.formats import precision_of


def test_products_are_in_bf16_on_two_bytes_a_weight() -> None:
    assert precision_of("bf16").compute_dtype == torch.bfloat16
    assert precision_of("bf16").weight_bytes(3, 5) == torch.empty(3, 5, dtype=torch.bfloat16).nbytes
