"""The kernel beside bitsandbytes' own way, by Triton's interpreter where there is no GPU."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

from tests.kernels.triton_runs import needs_triton, run

COMPARE = """
from bitsandbytes.functional import dequantize_4bit
from bitsandbytes.nn import Params4bit
from tunesmith.precision import nf4_dequant_triton
for shape in ((8, 64), (33, 130), (100, 328)):
    for nested in (True, False):
        weight = torch.randn(*shape).to(dtype) + 0.1
        stored = Params4bit(weight, quant_type="nf4", compress_statistics=nested).to(device)
        place = torch.zeros(*shape).to(device, dtype)
        nf4_dequant_triton.dequantize_into(stored.data, stored.quant_state, place)
        wanted = dequantize_4bit(stored.data, stored.quant_state)
        torch.testing.assert_close(place, wanted, rtol=most, atol=most)
"""

IN_EIGHT_BITS = """
from bitsandbytes.functional import dequantize_4bit
from bitsandbytes.nn import Params4bit
from tunesmith.precision import nf4_dequant_triton
for shape in ((8, 64), (33, 192), (5, 64 * 70)):
    for nested in (True, False):
        weight = torch.randn(*shape).to(dtype) + 0.1
        stored = Params4bit(weight, quant_type="nf4", compress_statistics=nested).to(device)
        # The interpreter, not the hardware, rounds a few values to 8 bits wrongly.
        small = torch.float8_e4m3fn if device == "cuda" else torch.float16
        place = torch.zeros(*shape, device=device, dtype=small)
        scales = torch.zeros(shape[0], device=device)
        nf4_dequant_triton.to_fp8(stored.data, stored.quant_state, place, scales)
        wanted = dequantize_4bit(stored.data, stored.quant_state).float()
        torch.testing.assert_close(scales * torch.finfo(small).max, wanted.abs().amax(1), rtol=1e-2, atol=0)
        found = place.float() * scales[:, None]
        torch.testing.assert_close(found, wanted, rtol=2**-4 + 2**-8, atol=2**-8 * scales.max().item())
"""


@needs_triton
@pytest.mark.skipif(find_spec("bitsandbytes") is None, reason="bitsandbytes is not installed")
def test_weights_are_those_that_bitsandbytes_makes() -> None:
    run(COMPARE)


@needs_triton
@pytest.mark.skipif(find_spec("bitsandbytes") is None, reason="bitsandbytes is not installed")
def test_weights_in_8_bits_are_those_that_bitsandbytes_makes() -> None:
    run(IN_EIGHT_BITS)
