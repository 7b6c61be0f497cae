"""The kernels without a GPU, by Triton's interpreter, beside the plain functions. `test_casts` tries them on a GPU."""

from __future__ import annotations

import pytest

from tests.kernels.triton_runs import ON_GPU, needs_triton, run

COMPARE = """
from tunesmith.precision import fp8_cast
from tunesmith.precision import fp8_cast_triton
for dtype in (torch.float16, torch.float8_e4m3fn, torch.float8_e5m2):
    for width in (40, 896, 3420):
        for factor in (None, torch.rand(width)):
            rows = torch.randn(4, 2 * width).bfloat16()[:, :width]
            rows[1] = 0
            wanted = fp8_cast.cast_rows(rows, dtype, factor)
            found, scales = fp8_cast_triton.cast_rows(rows, dtype, factor, fp8_cast.padded(width))
            torch.testing.assert_close(scales, wanted.scales, rtol=1e-6, atol=0)
            # The interpreter, not the hardware, rounds a few values to 8 bits wrongly.
            differ = found.float() != wanted.rows.float()
            assert differ.float().mean() < (0.001 if dtype == torch.float16 else 0.06), differ.float().mean()
            assert not found[:, width:].float().any()
matrix = torch.randn(200, 330).to(torch.float8_e4m3fn)
assert torch.equal(fp8_cast_triton.transposed(matrix).float(), matrix.float().t())
"""


@needs_triton
@pytest.mark.skipif(ON_GPU, reason="test_fp8_cast runs the kernels on a GPU")
def test_kernels_give_what_the_plain_functions_do() -> None:
    run(COMPARE)
