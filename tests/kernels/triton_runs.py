"""Triton's kernels beside plain functions, in a process of their own: how they run must be said before Triton is
imported."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

needs_triton = pytest.mark.skipif(find_spec("triton") is None, reason="Triton is not installed")
INTERPRETED = """
# Where a loop ends is an array of one number to the interpreter, which NumPy 2.4 takes for no number.
from triton.runtime import interpreter
patch = interpreter._patch_lang_tensor
def patched(tensor, scope):
    patch(tensor, scope)
    scope.set_attr(tensor, "__index__", lambda self: self.handle.data.item())
interpreter._patch_lang_tensor = patched
"""
GIVEN = """
import torch
device, dtype, most = {device!r}, torch.{dtype}, {most}
torch.manual_seed(0)
"""


def compare(script: str, on_gpu: bool) -> None:
    """Run the script, which asserts: on a GPU in bf16, else by Triton's interpreter in fp32 on the CPU. `device`,
    `dtype` and the largest relative difference, `most`, are there for it."""
    given = GIVEN.format(
        device="cuda" if on_gpu else "cpu",
        dtype="bfloat16" if on_gpu else "float32",
        most=0.012 if on_gpu else 1e-5,
    )
    done = subprocess.run(
        [sys.executable, "-c", f"{'' if on_gpu else INTERPRETED}{given}{script}\nprint('as the plain ones')"],
        env=os.environ
        | ({} if on_gpu else {"TRITON_INTERPRET": "1"})
        | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[3],
        check=False,
    )
    assert done.stdout.strip() == "as the plain ones", done.stderr
