"""Every operation has all of its forms, and the input decides which one runs."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import pytest
import torch

from tunesmith.kernels import ops
from tunesmith.kernels.ops import shapes
from tunesmith.kernels.ops.dispatch import implementation
from tunesmith.precision.kernel_backend import shapes_only

FOLDER = Path(str(ops.__file__)).parent
OPERATIONS = ("cross_entropy", "lora", "rms_norm", "rope", "swiglu")


def functions_of(file: str) -> set[str]:
    tree = ast.parse((FOLDER / f"{file}.py").read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_an_operation_has_a_triton_form_and_shapes(operation: str) -> None:
    dispatched = {
        node.attr
        for node in ast.walk(ast.parse((FOLDER / f"{operation}.py").read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "kernels"
    }
    assert dispatched
    assert dispatched <= functions_of(f"{operation}_triton")
    assert dispatched <= {name for name, _ in inspect.getmembers(shapes, inspect.isfunction)}


def test_without_a_gpu_pytorch_computes_unless_only_shapes_are_asked_for() -> None:
    assert implementation(torch.zeros(1), "swiglu") is None
    with shapes_only():
        assert implementation(torch.zeros(1), "swiglu") is shapes
    assert implementation(torch.zeros(1), "swiglu") is None
