"""Choice of the implementation of an operation."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from torch import Tensor

from tunesmith.precision.kernel_backend import is_shapes_only


def implementation(x: Tensor, operation: str) -> Any:
    """The module that implements an operation for this input; None if it is the operation's own PyTorch code.

    Triton is imported here and not at the top of a file because it is installed on GPU machines only.
    """
    if is_shapes_only():
        return import_module("tunesmith.kernels.ops.shapes")
    if x.is_cuda:
        return import_module(f"tunesmith.kernels.ops.{operation}_triton")
    return None
