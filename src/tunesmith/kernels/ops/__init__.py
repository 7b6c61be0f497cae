"""Element-wise operations between matrix products, and the loss: in PyTorch, in Triton, and as shapes only.

Each operation is a file with its mathematics and its PyTorch form; `NAME_triton.py` has its kernels for a GPU, and
`shapes.py` what all of them allocate. The forms of an operation take and return the same.

In all of them `token` counts the tokens of a packed micro-batch, and matrices are row-major with one row per token.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

Activations = Float[Tensor, "token width"]
PerToken = Float[Tensor, " token"]
GateUp = Float[Tensor, "token twice_width"]
"""Output of the gate projection and of the up projection, next to each other in each row."""
LoraInner = Float[Tensor, "token rank"]
"""x lora_A^T of one or several adapters, next to each other in each row."""
LoraA = Float[Tensor, "rank width"]
"""First matrix of an adapter."""
