"""The Triton kernels of `cross_entropy`, compared with the PyTorch form."""

from __future__ import annotations

from tests.kernels.triton_runs import needs_triton, run

COMPARE = """
from tunesmith.kernels.ops import cross_entropy, cross_entropy_triton

for rows, classes in ((5, 10_000), (3, 70)):
    logits = 3 * random(rows, classes)
    targets = torch.randint(classes, (rows,)).to(device)
    losses, logsumexp = cross_entropy_triton.cross_entropy_forward(logits, targets)
    wanted = reference(cross_entropy.cross_entropy_forward, logits, targets)
    compare("forward", (losses, logsumexp), wanted)
    given = (torch.tensor(0.3).to(device), logits, targets, logsumexp)
    wanted = reference(cross_entropy.cross_entropy_backward, *given)
    written = cross_entropy_triton.cross_entropy_backward(given[0], logits.clone(), *given[2:])
    compare("backward", written, wanted)
"""


@needs_triton
def test_kernels_give_what_the_pytorch_form_gives() -> None:
    run(COMPARE)
