"""The Triton kernels of `add_lora`, compared with the PyTorch form."""

from __future__ import annotations

from tests.kernels.triton_runs import needs_triton, run

COMPARE = """
from tunesmith.kernels.ops import lora, lora_triton
from tunesmith.kernels.ops.lora import LoraUpdate

for tokens, width, ranks in ((100, 200, (8, 20, 12)), (64, 640, (16, 16, 16)), (3, 3424, (64, 64, 64))):
    x, residual, inner = random(tokens, width), random(tokens, width), random(tokens, sum(ranks))
    single = LoraUpdate(inner[:, : ranks[0]], random(width, sum(ranks))[:, : ranks[0]])
    lora_B = torch.zeros(width, sum(ranks)).to(x)
    sizes = (64, 64, width - 128) if width == 640 else (width // 2, width - width // 2, 0)
    for index, rows in enumerate(lora_B.split(sizes)):
        rows.split(ranks, dim=1)[index].normal_()
    several = LoraUpdate(inner, lora_B, tuple(zip(sizes, ranks)))
    for update, added in ((several, residual), (single, residual), (None, residual), (several, None)):
        wanted = reference(lora.add_lora, x, update, added)
        compare("sum", lora_triton.add_lora(x.clone(), update, added), wanted)
"""


@needs_triton
def test_kernels_give_what_the_pytorch_form_gives() -> None:
    run(COMPARE)
