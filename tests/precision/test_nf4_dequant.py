from __future__ import annotations

import pytest
import torch
from torch import nn

bitsandbytes = pytest.importorskip("bitsandbytes")

from tunesmith.precision.nf4_dequant import dequantize_into, to_fp8  # noqa: E402

DEVICES = ["cpu", *["cuda"] * torch.cuda.is_available()]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("nested", [True, False])
def test_a_weight_is_written_as_bitsandbytes_reads_it(device: str, dtype: torch.dtype, nested: bool) -> None:
    torch.manual_seed(0)
    weight = torch.randn(72, 200, dtype=dtype)
    stored = bitsandbytes.nn.Params4bit(weight, quant_type="nf4", compress_statistics=nested).to(device)
    place = torch.full((80, 200), 7.0, dtype=dtype, device=device)
    dequantize_into(stored, place[4:76])
    wanted = bitsandbytes.functional.dequantize_4bit(stored.data, stored.quant_state)
    torch.testing.assert_close(
        place[4:76], wanted, rtol=2**-8 if dtype == torch.bfloat16 else 1e-6, atol=1e-7
    )
    assert (place[:4] == 7).all()
    assert (place[76:] == 7).all()


def four_bits(inputs: int, outputs: int, device: str = "cpu") -> nn.Module:
    layer = bitsandbytes.nn.Linear4bit(
        inputs, outputs, bias=False, quant_type="nf4", compress_statistics=True
    )
    return layer.to(device)


@pytest.mark.parametrize("device", DEVICES)
def test_in_8_bits_weights_are_those_in_4_to_a_sixteenth(device: str) -> None:
    torch.manual_seed(0)
    layers = [four_bits(192, 32, device), four_bits(192, 16, device)]
    weight, scales = to_fp8(layers)
    assert weight.shape == (48, 192)
    wanted = torch.cat(
        [bitsandbytes.functional.dequantize_4bit(one.weight.data, one.weight.quant_state) for one in layers]
    )
    found = weight.float() * scales[:, None]
    # Four digits, and below the smallest number that has them a step of it.
    torch.testing.assert_close(found, wanted.float(), rtol=2**-4, atol=2**-9 * scales.max().item())
    assert weight.float().abs().amax(1).min() >= 416, "a row's scale leaves the upper end of the range unused"
