"""The kernel beside the plain function, by Triton's interpreter where there is no GPU."""

from __future__ import annotations

from tests.kernels.triton_runs import needs_triton, run

COMPARE = """
from tunesmith.precision import stochastic_rounding
from tunesmith.precision import stochastic_rounding_triton
for shape in ((1, 5), (7, 300), (3, 5000)):
    wide = 3 * torch.randn(shape[0], shape[1] + 4)
    wide, place = wide[:, 2:-2], torch.zeros(shape[0] + 2, shape[1] + 2, dtype=torch.bfloat16)[:, 1:-1]
    wanted = torch.empty(shape, dtype=torch.bfloat16)
    stochastic_rounding.round_into(wide, wanted)
    wide, place = wide.to(device), place.to(device)
    stochastic_rounding_triton.round_into(wide, place[:-2])
    assert torch.equal(place[:-2].cpu(), wanted), (place[:-2].cpu().float() - wanted.float()).abs().max()
    assert not place[-2:].any()
"""


@needs_triton
def test_the_kernel_gives_what_the_plain_function_does() -> None:
    run(COMPARE)
