"""The kernels for short segments beside attention as it is defined: on a GPU in bf16, elsewhere by Triton's interpreter
in fp32."""

from __future__ import annotations

from tests.kernels.triton_runs import needs_triton, run

COMPARE = """
from tunesmith.batching.batch import Segments
from tunesmith.kernels.attention.packed import AttentionInputs, _eager
from tunesmith.kernels.attention.short import query_blocks, short_attention


def lines(tokens, heads, width, is_one):
    # As a product gives them: (token, head, width), or all three side by side.
    if is_one:
        given = torch.randn(tokens, 3, heads[0], width).to(device, dtype).unbind(1)
    else:
        given = [torch.randn(tokens, number, width).to(device, dtype) for number in heads]
    return [one.transpose(0, 1)[None].detach().requires_grad_() for one in given]

def compare(name, found, wanted):
    # In fp64, the plain function is the more exact. A token alone has no gradient but of its value.
    error = (found.double().cpu() - wanted).norm() / wanted.norm().clamp_min(1)
    assert error < most, (name, float(error))

def check(lengths, kept, group, width, causal, is_one=False, scale=None):
    segments = Segments.end_to_end(lengths)
    given = lines(sum(lengths), (kept * group, kept, kept), width, is_one)
    exact = [one.detach().double().cpu().requires_grad_() for one in given]
    factor = scale or width**-0.5
    blocks = query_blocks(segments).to(device)
    out = short_attention(*given, blocks, max(lengths), factor, causal)
    # Weights are taken in fp32 there; that is exact enough.
    wanted = _eager(AttentionInputs(*exact, segments, factor, 0.0, None, causal))
    name = lengths, kept, group, width, causal
    compare(name, out, wanted)
    gradient = torch.randn(out.shape).to(device, dtype)
    if is_one:
        gradient = gradient.transpose(1, 2).contiguous().transpose(1, 2)
    out.backward(gradient)
    wanted.backward(gradient.double().cpu())
    for line, found, right in zip("qkv", given, exact):
        compare((*name, line), found.grad, right.grad)
    return out, [one.grad for one in given]

for causal in (True, False):
    check([1, 63, 64, 65, 130], 2, 1, 64, causal)
    check([130, 7, 64], 1, 7, 80, causal)
    check([65, 1, 1, 97], 2, 2, 128, causal, scale=0.3)
    check([64, 1, 33], 3, 1, 80, causal, is_one=True)
    check([5, 64], 1, 7, 32, causal)
    check([100, 20], 2, 1, 24, causal, is_one=True)
    check([1], 1, 2, 128, causal)
if device == "cuda":
    for causal in (True, False):
        first, second = (
            torch.manual_seed(1) and check([400, 24, 114, 511], 2, 4, 128, causal) for _ in range(2)
        )
        assert torch.equal(first[0], second[0])
        assert all(torch.equal(one, other) for one, other in zip(first[1], second[1], strict=True))
"""


@needs_triton
def test_short_segments_attend_as_attention_is_defined() -> None:
    run(COMPARE)
