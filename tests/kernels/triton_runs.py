"""Triton kernels compared with the PyTorch forms, in one worker process for all tests of a session.

Triton must know whether to interpret before it is imported, so it is not imported into the process of the tests. The
worker runs on a GPU in bf16 if there is one, else by Triton's interpreter in fp32 on the CPU.
"""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

needs_triton = pytest.mark.skipif(find_spec("triton") is None, reason="Triton is not installed")
ON_GPU = torch.cuda.is_available()
WORKER = """
import json, sys, traceback
on_gpu = sys.argv[1] == "gpu"
if not on_gpu:
    # The end of a loop is an array with one element to the interpreter, which NumPy 2.4 does not take for a number.
    from triton.runtime import interpreter
    patch = interpreter._patch_lang_tensor
    def patched(tensor, scope):
        patch(tensor, scope)
        scope.set_attr(tensor, "__index__", lambda self: self.handle.data.item())
    interpreter._patch_lang_tensor = patched
import torch

answers, sys.stdout = sys.stdout, sys.stderr
device, dtype, most = ("cuda", torch.bfloat16, 0.012) if on_gpu else ("cpu", torch.float32, 1e-5)

def random(*shape):
    return torch.randn(*shape).to(device, dtype)

def on_cpu(value):
    if isinstance(value, torch.Tensor):
        return value.cpu()
    if isinstance(value, tuple):
        pieces = [on_cpu(piece) for piece in value]
        return type(value)(*pieces) if hasattr(value, "_fields") else tuple(pieces)
    return value

def reference(function, *arguments):
    return function(*map(on_cpu, arguments))

def compare(name, actual, expected):
    actual, expected = (value if isinstance(value, tuple) else (value,) for value in (actual, expected))
    for ours, right in zip(actual, expected, strict=True):
        if right is None:
            assert ours is None, name
            continue
        error = (ours.double() - right.double().to(ours.device)).norm() / right.double().norm()
        assert error < most, (name, float(error))

shared = {name: globals()[name] for name in
          ("torch", "device", "dtype", "most", "random", "on_cpu", "reference", "compare")}
for line in sys.stdin:
    torch.manual_seed(0)
    try:
        exec(compile(json.loads(line), "<script>", "exec"), dict(shared))
        answer = ""
    except BaseException:
        answer = traceback.format_exc()
    print(json.dumps(answer), file=answers, flush=True)
"""


def run(script: str) -> None:
    """Run a script of assertions in the worker.

    It has `torch`, `device`, `dtype`, the largest relative difference `most`, `random(*shape)`, `reference(function,
    *arguments)` on the CPU, and `compare(name, actual, expected)`.
    """
    worker = _worker()
    assert worker.stdin is not None
    assert worker.stdout is not None
    worker.stdin.write(json.dumps(script) + "\n")
    worker.stdin.flush()
    answer = worker.stdout.readline()
    assert answer, f"the worker ended with {worker.wait()}"
    failure = json.loads(answer)
    assert not failure, failure


@cache
def _worker() -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    worker = subprocess.Popen(
        [sys.executable, "-c", WORKER, "gpu" if ON_GPU else "interpreter"],
        env=environment if ON_GPU else environment | {"TRITON_INTERPRET": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    atexit.register(worker.communicate)
    return worker
