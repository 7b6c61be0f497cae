"""What every precision of the registry promises."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tunesmith.precision.formats import (
    PRECISIONS,
    all_precisions,
    check_error,
    frozen_matmul,
    precision_of,
)
from tunesmith.precision.matmul_backends import NO_PADDING, DenseMatmul


@pytest.mark.parametrize("kind", PRECISIONS.kinds())
def test_a_precision_knows_its_name_and_what_its_weights_take(kind: str) -> None:
    precision = precision_of(kind)
    assert precision.kind == kind
    assert 0 < precision.weight_bytes(1024, 512) <= 4 * 1024 * 512
    assert precision.at_ends is None or precision.at_ends in PRECISIONS.kinds()
    assert precision.holds(nn.Linear(2, 2)) is False


@pytest.mark.parametrize("kind", PRECISIONS.kinds())
def test_a_probe_on_a_cpu_works_or_says_that_products_are_not_in_8_bits(kind: str) -> None:
    precision = precision_of(kind)
    if precision.package:
        pytest.importorskip(precision.package)
    if kind in ("fp8", "nf4-fp8"):
        with pytest.raises(RuntimeError, match="without products in 8 bits"):
            precision.probe(torch.device("cpu"))
    else:
        assert precision.probe(torch.device("cpu")).endswith("works on cpu")


def test_quantized_weights_are_smaller_than_others() -> None:
    sizes = {precision.is_quantized: precision.weight_bytes(64, 64) for precision in all_precisions()}
    assert sizes[True] < sizes[False]


def test_plain_layers_are_served_and_layers_of_unlike_classes_are_not() -> None:
    layer = nn.Linear(4, 4)
    assert isinstance(frozen_matmul([layer, nn.Linear(4, 8)], torch.float32, NO_PADDING), DenseMatmul)
    assert frozen_matmul([layer, nn.Bilinear(4, 4, 4)], torch.float32, NO_PADDING) is None
    assert frozen_matmul([layer], torch.bfloat16, NO_PADDING) is None


def test_a_quantisation_that_computes_nonsense_does_not_count_as_working() -> None:
    right = torch.ones(2, 2)
    check_error(right * 1.01, right, 0.05)
    with pytest.raises(RuntimeError, match="loads, but its values are wrong"):
        check_error(right * 2, right, 0.05)
    with pytest.raises(RuntimeError, match="values are wrong"):
        check_error(right * float("nan"), right, 0.05)
