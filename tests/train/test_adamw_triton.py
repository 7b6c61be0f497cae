"""The kernel beside PyTorch's own AdamW, by Triton's interpreter where there is no GPU."""

from __future__ import annotations

from tests.kernels.triton_runs import needs_triton, run

COMPARE = """
from tunesmith.train import adamw_triton
start = torch.randn(70, 61, device=device)
ours, theirs = start.clone(), torch.nn.Parameter(start.clone())
mean, square = torch.zeros_like(start), torch.zeros_like(start)
settings = {"lr": 0.01, "betas": (0.8, 0.95), "eps": 1e-6, "weight_decay": 0.1}
optimizer = torch.optim.AdamW([theirs], **settings)
for step in range(1, 6):
    gradient, scale = torch.randn_like(start), torch.tensor(0.3, device=device)
    theirs.grad = gradient * scale
    optimizer.step()
    adamw_triton.move(ours, gradient, mean, square, scale, step, settings)
    torch.testing.assert_close(ours, theirs.detach(), rtol=1e-5, atol=1e-6)
state = optimizer.state[theirs]
torch.testing.assert_close(mean, state["exp_avg"], rtol=1e-5, atol=1e-6)
torch.testing.assert_close(square, state["exp_avg_sq"], rtol=1e-5, atol=1e-7)
"""


@needs_triton
def test_weights_and_states_move_as_pytorch_moves_them() -> None:
    run(COMPARE)
