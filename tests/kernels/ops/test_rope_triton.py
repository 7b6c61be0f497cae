"""The Triton kernels of `rope`, compared with the PyTorch form."""

from __future__ import annotations

from tests.kernels.triton_runs import needs_triton, run

COMPARE = """
from tunesmith.kernels.ops import rope, rope_triton
from tunesmith.kernels.ops.rope import HeadLayout, RopeTables

for tokens in (100, 3):
    for num_heads, num_kv_heads, head_dim in ((1, 1, 32), (6, 2, 24)):
        layout = HeadLayout(num_heads, num_kv_heads, head_dim)
        qkv = random(tokens, sum(layout.sizes))
        grads = tuple(random(tokens, size) for size in layout.sizes)
        for norms in (None, (random(head_dim), random(head_dim))):
            tables = RopeTables(random(tokens, head_dim), random(tokens, head_dim), norms, 1e-6)
            wanted = reference(rope.apply_rope, qkv, layout, tables)
            compare("forward", rope_triton.apply_rope(qkv.clone(), layout, tables), wanted)
            for needs_weight_grads in (False, True)[: 1 if norms is None else 2]:
                given = (grads, None if norms is None else qkv, layout, tables, needs_weight_grads)
                grad_qkv, grad_weights = rope_triton.rope_backward(*given)
                wanted, wanted_weights = reference(rope.rope_backward, *given)
                compare("backward", (grad_qkv, *grad_weights), (wanted, *wanted_weights))
"""


@needs_triton
def test_kernels_give_what_the_pytorch_form_gives() -> None:
    run(COMPARE)
