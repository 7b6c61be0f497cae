"""The Triton kernels of `rms_norm`, compared with the PyTorch form."""

from __future__ import annotations

from tests.kernels.triton_runs import needs_triton, run

COMPARE = """
from tunesmith.kernels.ops import rms_norm, rms_norm_triton

for tokens, width in ((100, 200), (64, 640), (3, 3424)):
    x, grad_output, residual, weight = *(random(tokens, width) for _ in range(3)), random(width)
    out, rstd = rms_norm_triton.rms_norm(x, weight, 1e-6)
    compare("forward", (out, rstd), reference(rms_norm.rms_norm, x, weight, 1e-6))
    given = (grad_output, x, rstd, weight, residual)
    wanted = reference(rms_norm.rms_norm_backward, *given)
    compare("backward", rms_norm_triton.rms_norm_backward(*given), wanted)
    wanted = reference(rms_norm.rms_norm_weight_grad, *given[:3])
    compare("weight", rms_norm_triton.rms_norm_weight_grad(*given[:3]), wanted)
"""


@needs_triton
def test_kernels_give_what_the_pytorch_form_gives() -> None:
    run(COMPARE)
