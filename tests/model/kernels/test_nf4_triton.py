"""The kernel beside bitsandbytes' own way, by Triton's interpreter where there is no GPU."""

from __future__ import annotations

from importlib.util import find_spec

import pytest
import torch

from tests.model.kernels.triton_runs import compare, needs_triton

COMPARE = """
from bitsandbytes.functional import dequantize_4bit
from bitsandbytes.nn import Params4bit
from tunesmith.model.kernels import nf4_triton
for shape in ((8, 64), (33, 130), (100, 328)):
    for nested in (True, False):
        weight = torch.randn(*shape).to(dtype) + 0.1
        stored = Params4bit(weight, quant_type="nf4", compress_statistics=nested).to(device)
        place = torch.zeros(*shape).to(device, dtype)
        nf4_triton.write_whole(stored.data, stored.quant_state, place)
        wanted = dequantize_4bit(stored.data, stored.quant_state)
        torch.testing.assert_close(place, wanted, rtol=most, atol=most)
"""


@needs_triton
@pytest.mark.skipif(find_spec("bitsandbytes") is None, reason="bitsandbytes is not installed")
def test_weights_are_those_that_bitsandbytes_makes() -> None:
    compare(COMPARE, on_gpu=torch.cuda.is_available())
