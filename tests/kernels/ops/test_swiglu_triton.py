"""The Triton kernels of `swiglu`, compared with the PyTorch form."""

from __future__ import annotations

from tests.kernels.triton_runs import needs_triton, run

COMPARE = """
from tunesmith.kernels.ops import swiglu, swiglu_triton
from tunesmith.kernels.ops.lora import LoraUpdate

for tokens, width, ranks in ((100, 200, (8, 20, 12)), (64, 640, (16, 16, 16)), (3, 3424, (64, 64, 64))):
    grad_output, gate_up = random(tokens, width), random(tokens, 2 * width)
    inner, lora_B = random(tokens, sum(ranks)), random(2 * width, sum(ranks))
    inners, matrices = inner.split(ranks, dim=1), lora_B.split(ranks, dim=1)
    gate, up = LoraUpdate(inners[0], matrices[0][:width]), LoraUpdate(inners[1], matrices[1][width:])
    lora_A = random(ranks[2], width)
    output = LoraUpdate(inners[2].contiguous(), lora_A.T)
    for gate_update, up_update, last in ((gate, up, output), (None, up, None), (gate, None, output), (None,) * 3):
        given = (gate_up, gate_update, up_update, None if last is None else lora_A)
        compare("forward", swiglu_triton.swiglu(*given), reference(swiglu.swiglu, *given))
        given = (gate_update, up_update, last)
        wanted = reference(swiglu.swiglu_backward, grad_output, gate_up, *given)
        compare("backward", swiglu_triton.swiglu_backward(grad_output.clone(), gate_up.clone(), *given), wanted)
"""


@needs_triton
def test_kernels_give_what_the_pytorch_form_gives() -> None:
    run(COMPARE)
