"""Without data the kernels give what they give with data, but for the data."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from tunesmith.kernels.ops import pointwise
from tunesmith.kernels.ops.pointwise import Added, Heads, Turning

TOKENS, WIDTH = 5, 8


def rows() -> Tensor:
    return torch.zeros(TOKENS, WIDTH, dtype=torch.bfloat16)


HEADS = Heads(2, 1, 4)


def projected() -> Tensor:
    return torch.zeros(TOKENS, sum(HEADS.sizes), dtype=torch.bfloat16)


def turning() -> Turning:
    return Turning(torch.zeros(TOKENS, 4), torch.zeros(TOKENS, 4), (torch.zeros(4), torch.zeros(4)), 1e-5)


def both() -> Tensor:
    return torch.zeros(TOKENS, 2 * WIDTH, dtype=torch.bfloat16)


def added() -> Added:
    return Added(*(torch.zeros(size, 2, dtype=torch.bfloat16) for size in (TOKENS, WIDTH)))


def turned_back(of_weights: bool) -> tuple[torch.Tensor, ...]:
    given = projected().split(HEADS.sizes, dim=1), projected(), HEADS, turning(), of_weights
    of_rows, of_norms = pointwise.turned_back(*given)
    return of_rows, *of_norms


CALLS: dict[str, Any] = {
    "normalised": lambda: pointwise.normalised(rows(), torch.zeros(WIDTH, dtype=torch.bfloat16), 1e-5),
    "through_norm": lambda: pointwise.through_norm(
        rows(), rows(), torch.zeros(TOKENS), torch.zeros(WIDTH), rows()
    ),
    "summed": lambda: pointwise.summed(rows(), added(), rows()),
    "gated": lambda: pointwise.gated(both(), added(), None, torch.zeros(3, WIDTH, dtype=torch.bfloat16)),
    "gated alone": lambda: pointwise.gated(both(), None, added(), None),
    "through_gate": lambda: pointwise.through_gate(rows(), both(), added(), None, added()),
    "nats": lambda: pointwise.nats(rows(), torch.zeros(TOKENS, dtype=torch.int64)),
    "through_nats": lambda: pointwise.through_nats(
        torch.ones(()), rows(), torch.zeros(TOKENS, dtype=torch.int64), torch.zeros(TOKENS)
    ),
    "turned": lambda: pointwise.turned(projected(), HEADS, turning()),
    "turned alone": lambda: pointwise.turned(projected(), HEADS, turning()._replace(weights=None)),
    "of_norm": lambda: pointwise.of_norm(rows(), rows(), torch.zeros(TOKENS)),
    "turned_back": lambda: turned_back(False),
    "turned_back for weights": lambda: turned_back(True),
}


@pytest.mark.parametrize("name", CALLS)
def test_sizes_and_precisions_are_those_of_the_work_done(name: str) -> None:
    done = CALLS[name]()
    with FakeTensorMode():
        only_shapes = CALLS[name]()
    pairs = zip(done, only_shapes, strict=True) if isinstance(done, tuple) else [(done, only_shapes)]
    for one, other in pairs:
        if one is None:
            assert other is None
            continue
        assert (one.shape, one.dtype) == (other.shape, other.dtype)
