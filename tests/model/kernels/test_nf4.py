from __future__ import annotations

import pytest
import torch

bitsandbytes = pytest.importorskip("bitsandbytes")

from tunesmith.model.kernels.nf4 import write_whole  # noqa: E402

DEVICES = ["cpu", *["cuda"] * torch.cuda.is_available()]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("nested", [True, False])
def test_a_weight_is_written_as_bitsandbytes_reads_it(device: str, dtype: torch.dtype, nested: bool) -> None:
    torch.manual_seed(0)
    weight = torch.randn(72, 200, dtype=dtype)
    stored = bitsandbytes.nn.Params4bit(weight, quant_type="nf4", compress_statistics=nested).to(device)
    place = torch.full((80, 200), 7.0, dtype=dtype, device=device)
    write_whole(stored, place[4:76])
    wanted = bitsandbytes.functional.dequantize_4bit(stored.data, stored.quant_state)
    torch.testing.assert_close(
        place[4:76], wanted, rtol=2**-8 if dtype == torch.bfloat16 else 1e-6, atol=1e-7
    )
    assert (place[:4] == 7).all()
    assert (place[76:] == 7).all()
