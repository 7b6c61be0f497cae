"""The Triton kernels of `scaled_copy`, compared with the PyTorch form."""

from __future__ import annotations

from tests.kernels.triton_runs import needs_triton, run

COMPARE = """
from tunesmith.kernels.ops import scaled_copy_triton
from tunesmith.kernels.ops.scaled_copy import ScaledCopy

copies = []
for rows, columns, width in ((5, 300, 300), (40, 16, 48), (64, 1, 7)):
    target = torch.zeros(rows, width).to(device, dtype)[:, :columns]
    copies.append(ScaledCopy(torch.randn(rows, columns).to(device), target, 1.5))
scaled_copy_triton.copy(copies, scaled_copy_triton.table(copies))
for copy in copies:
    compare("copy", copy.target, 1.5 * copy.source)
"""


@needs_triton
def test_kernels_give_what_the_pytorch_form_gives() -> None:
    run(COMPARE)
