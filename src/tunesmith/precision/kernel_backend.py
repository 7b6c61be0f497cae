"""Which implementation of a kernel runs: Triton on a GPU, PyTorch elsewhere, or shapes only in a memory forecast.

By default the device of the input decides. A memory forecast selects `shapes_only()` around its forward and backward
pass: operations then allocate what the GPU kernels would allocate and compute nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_shapes_only: ContextVar[bool] = ContextVar("shapes_only", default=False)


@contextmanager
def shapes_only() -> Iterator[None]:
    """Within it, operations return tensors of the right shape and dtype and compute no values."""
    token = _shapes_only.set(True)
    try:
        yield
    finally:
        _shapes_only.reset(token)


def is_shapes_only() -> bool:
    """Whether `shapes_only` is active in this thread."""
    return _shapes_only.get()
