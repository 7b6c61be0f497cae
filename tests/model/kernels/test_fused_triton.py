"""The Triton kernels beside the plain functions: on a GPU in bf16, elsewhere by Triton's interpreter in fp32."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec

import pytest
import torch

COMPARE = """
import sys
import torch
from tunesmith.model.kernels import fused, fused_triton
from tunesmith.model.kernels.fused import Added, Turning

device, dtype, most = sys.argv[1], getattr(torch, sys.argv[2]), float(sys.argv[3])
torch.manual_seed(0)

def random(*shape):
    return torch.randn(*shape).to(device, dtype)

def compare(name, found, wanted):
    found, wanted = (one if isinstance(one, tuple) else (one,) for one in (found, wanted))
    for one, right in zip(found, wanted, strict=True):
        # In fp64, and rounded less on the way, the plain function is the more exact.
        error = (one.double() - right.double().to(one.device)).norm() / right.double().norm()
        assert error < most, (name, float(error))

def plain(function, *given):
    def moved(one):
        if isinstance(one, torch.Tensor):
            return one.cpu()
        if isinstance(one, (Added, Turning)):
            return type(one)(*(moved(piece) for piece in one))
        return one
    return function(*(moved(one) for one in given))

for tokens, width, ranks in ((100, 200, (8, 20, 12)), (64, 128, (16, 16, 16)), (3, 3424, (64, 64, 64))):
    hidden, gradient, beside = (random(tokens, width) for _ in range(3))
    weight = random(width)
    normed, factor = fused_triton.normalised(hidden, weight, 1e-6)
    compare("norm", (normed, factor), plain(fused.normalised, hidden, weight, 1e-6))
    given = (gradient, hidden, factor, weight, beside)
    compare("through norm", fused_triton.through_norm(*given), plain(fused.through_norm, *given))
    gate, up, inner = random(tokens, width), random(tokens, width), random(tokens, sum(ranks))
    first, second, third = inner.split(ranks, dim=1)
    adapters = [Added(piece, random(width, piece.shape[1])) for piece in (first, second)]
    more = Added(third, random(third.shape[1], width).T)
    sets = ((*adapters, more), (None, adapters[1], None), (adapters[0], None, more), (None,) * 3)
    for to_gate, to_up, to_all in sets:
        given = (gate, up, to_gate, to_up)
        compare("gate", fused_triton.gated(*given), plain(fused.gated, *given))
        given = (gradient, *given, to_all)
        compare("through gate", fused_triton.through_gate(*given), plain(fused.through_gate, *given))
    for adapter, past in ((adapters[0], beside), (None, beside), (adapters[1], None)):
        wanted = plain(fused.summed, hidden, adapter, past)
        compare("sum", fused_triton.summed(hidden.clone(), adapter, past), wanted)
    for heads in (1, 5):
        rows, arriving = random(tokens, heads * 32), random(tokens, heads * 32)
        for norm in (None, random(32)):
            turning = Turning(random(tokens, 32), random(tokens, 32), norm, 1e-6)
            compare("turn", fused_triton.turned(rows, turning), plain(fused.turned, rows, turning))
            kept = None if norm is None else rows
            given = (arriving, kept, turning)
            compare("turn back", fused_triton.turned_back(*given), plain(fused.turned_back, *given))
print("as the plain ones")
"""


@pytest.mark.skipif(find_spec("triton") is None, reason="Triton is not installed")
def test_kernels_give_what_the_plain_functions_do() -> None:
    has_gpu = torch.cuda.is_available()
    given = ["cuda", "bfloat16", "0.012"] if has_gpu else ["cpu", "float32", "1e-5"]
    # It must be said before Triton is imported.
    told = {} if has_gpu else {"TRITON_INTERPRET": "1"}
    done = subprocess.run(
        [sys.executable, "-c", COMPARE, *given],
        env=os.environ | told | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == "as the plain ones", done.stderr
