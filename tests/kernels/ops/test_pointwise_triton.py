"""The Triton kernels beside the plain functions: on a GPU in bf16, elsewhere by Triton's interpreter in fp32."""

from __future__ import annotations

import torch

from tests.kernels.triton_runs import compare, needs_triton

COMPARE = """
from tunesmith.kernels.ops import pointwise
from tunesmith.kernels.ops import pointwise_triton
from tunesmith.kernels.ops.pointwise import Added, Heads, Turning
from tunesmith.kernels.fusion.fused_linear import Copy


def random(*shape):
    return torch.randn(*shape).to(device, dtype)

def compare(name, found, wanted):
    found, wanted = (one if isinstance(one, tuple) else (one,) for one in (found, wanted))
    for one, right in zip(found, wanted, strict=True):
        if right is None:
            assert one is None, name
            continue
        # In fp64, and rounded less on the way, the plain function is the more exact.
        error = (one.double() - right.double().to(one.device)).norm() / right.double().norm()
        assert error < most, (name, float(error))

def plain(function, *given):
    def moved(one):
        if isinstance(one, torch.Tensor):
            return one.cpu()
        if isinstance(one, (Added, Turning)):
            return type(one)(*(moved(piece) for piece in one))
        if type(one) is tuple:
            return tuple(moved(piece) for piece in one)
        return one
    return function(*(moved(one) for one in given))

for tokens, width, ranks in ((100, 200, (8, 20, 12)), (64, 640, (16, 16, 16)), (3, 3424, (64, 64, 64))):
    hidden, gradient, beside = (random(tokens, width) for _ in range(3))
    weight = random(width)
    normed, factor = pointwise_triton.normalised(hidden, weight, 1e-6)
    compare("norm", (normed, factor), plain(pointwise.normalised, hidden, weight, 1e-6))
    given = (gradient, hidden, factor, weight, beside)
    compare("through norm", pointwise_triton.through_norm(*given), plain(pointwise.through_norm, *given))
    compare("of norm", pointwise_triton.of_norm(*given[:3]), plain(pointwise.of_norm, *given[:3]))
    both, inner, ups = random(tokens, 2 * width), random(tokens, sum(ranks)), random(2 * width, sum(ranks))
    first, second, third = inner.split(ranks, dim=1)
    of_first, of_second, _ = ups.split(ranks, dim=1)
    adapters = [Added(first, of_first[:width]), Added(second, of_second[width:])]
    down = random(ranks[2], width)
    more = Added(third.contiguous(), down.T)
    sets = ((*adapters, more), (None, adapters[1], None), (adapters[0], None, more), (None,) * 3)
    for to_gate, to_up, to_all in sets:
        given = (both, to_gate, to_up, None if to_all is None else down)
        compare("gate", pointwise_triton.gated(*given), plain(pointwise.gated, *given))
        given = (gradient, both, to_gate, to_up, to_all)
        wanted = plain(pointwise.through_gate, *given)
        written = pointwise_triton.through_gate(gradient.clone(), both.clone(), *given[2:])
        compare("through gate", written, wanted)
    blocks = torch.zeros(width, sum(ranks)).to(hidden)
    sizes = (64, 64, width - 128) if width == 640 else (width // 2, width - width // 2, 0)
    whole = Added(inner, blocks, tuple(zip(sizes, ranks)))
    for rows, columns in zip(blocks.split(sizes), range(3)):
        rows.split(ranks, dim=1)[columns].normal_()
    for adapter, past in ((whole, beside), (adapters[0], beside), (None, beside), (whole, None)):
        wanted = plain(pointwise.summed, hidden, adapter, past)
        compare("sum", pointwise_triton.summed(hidden.clone(), adapter, past), wanted)
    for queries, keys, wide in ((1, 1, 32), (6, 2, 24)):
        heads = Heads(queries, keys, wide)
        rows = random(tokens, sum(heads.sizes))
        arriving = tuple(random(tokens, size) for size in heads.sizes)
        for norms in (None, (random(wide), random(wide))):
            turning = Turning(random(tokens, wide), random(tokens, wide), norms, 1e-6)
            wanted = plain(pointwise.turned, rows, heads, turning)
            compare("turn", pointwise_triton.turned(rows.clone(), heads, turning), wanted)
            for of_weights in (False, True)[: 1 if norms is None else 2]:
                given = (arriving, None if norms is None else rows, heads, turning, of_weights)
                found, wanted = pointwise_triton.turned_back(*given), plain(pointwise.turned_back, *given)
                compare("turn back", (found[0], *found[1]), (wanted[0], *wanted[1]))
for number, classes in ((5, 10_000), (3, 70)):
    logits = 3 * random(number, classes)
    targets = torch.randint(classes, (number,)).to(device)
    each, logarithms = pointwise_triton.nats(logits, targets)
    compare("nats", (each, logarithms), plain(pointwise.nats, logits, targets))
    given = (torch.tensor(0.3).to(device), logits, targets, logarithms)
    wanted = plain(pointwise.through_nats, *given)
    compare("through nats", pointwise_triton.through_nats(given[0], logits.clone(), *given[2:]), wanted)
copies = []
for rows, columns, wide in ((5, 300, 300), (40, 16, 48), (64, 1, 7)):
    place = torch.zeros(rows, wide).to(device, dtype)[:, :columns]
    copies.append(Copy(torch.randn(rows, columns).to(device), place, 1.5))
pointwise_triton.copy(copies, pointwise_triton.table(copies))
for copy in copies:
    compare("copy", copy.place, plain(lambda one: 1.5 * one, copy.of))
"""


@needs_triton
def test_kernels_give_what_the_plain_functions_do() -> None:
    compare(COMPARE, on_gpu=torch.cuda.is_available())
