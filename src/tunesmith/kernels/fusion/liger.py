"""Liger's kernels (Hsu et al. 2024) for normalisation, gated MLPs and rotary positions."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

NORM = "RMSNorm"
"""How the names of layers end that normalise in fp32 and multiply by their weight in the precision that came in."""
NORM_PARTS = {"weight"}
MLP_PARTS = {"gate_proj", "up_proj", "down_proj", "act_fn"}
"""What a layer down(silu(gate(x)) * up(x)) is made of, and nothing else."""
ROTATIONS = ("apply_rotary_pos_emb", "apply_rotary_pos_emb_vision")
_DONE = "_rotates_by_liger"


def exchange(model: nn.Module) -> None:
    """Give the model's layers forward passes by Liger's kernels. Queries and keys are turned by a function of the
    architecture's module, which from then on takes Liger's on a GPU, for every model of the architecture."""
    for module in model.modules():
        name = type(module).__name__
        if name.endswith(NORM) and dict(module.named_parameters()).keys() == NORM_PARTS:
            module.forward = _norm(module)
        elif dict(module.named_children()).keys() == MLP_PARTS and "SiLU" in type(module.act_fn).__name__:
            module.forward = _mlp(module)
        elif name.endswith("Attention"):
            _exchange_rotations(sys.modules[type(module).__module__])


def _norm(module: Any) -> Callable[[Tensor], Tensor]:
    from liger_kernel.ops.rms_norm import LigerRMSNormFunction

    def forward(hidden: Tensor) -> Tensor:
        # In place would write into a gradient that the residual stream still needs.
        return LigerRMSNormFunction.apply(  # type: ignore[no-any-return]
            hidden, module.weight, module.variance_epsilon, 0.0, "llama", False
        )

    return forward


def _mlp(module: Any) -> Callable[[Tensor], Tensor]:
    from liger_kernel.ops.swiglu import LigerSiLUMulFunction

    def forward(hidden: Tensor) -> Tensor:
        gated = LigerSiLUMulFunction.apply(module.gate_proj(hidden), module.up_proj(hidden))
        return module.down_proj(gated)  # type: ignore[no-any-return]

    return forward


def _exchange_rotations(architecture: ModuleType) -> None:
    fused = {"apply_rotary_pos_emb": _rotated, "apply_rotary_pos_emb_vision": _rotated_patches}
    for name in ROTATIONS:
        plain = vars(architecture).get(name)
        if plain is not None and _DONE not in vars(plain) and _turns_halves(plain):
            vars(architecture)[name] = _on_gpu(fused[name], plain)


def _turns_halves(plain: Callable[..., Any]) -> bool:
    """Whether the function turns a head's first half against its second, as Liger's does; some architectures turn
    neighbours against each other, or add to the angles."""
    chance = torch.Generator().manual_seed(0)
    is_of_patches = "vision" in plain.__name__
    angles = torch.randn(1, 3, 4, generator=chance).tile(2)
    heads = torch.randn(1, 2, 3, 8, generator=chance)
    first, second = heads.chunk(2, dim=-1)
    wanted = heads * angles.cos() + torch.cat([-second, first], dim=-1) * angles.sin()
    if is_of_patches:
        heads, wanted = (one.squeeze(0).transpose(0, 1) for one in (heads, wanted))
        angles = angles.squeeze(0)
    try:
        found = plain(heads, heads, angles.cos(), angles.sin())
    except (RuntimeError, TypeError, ValueError, IndexError):
        return False
    return all(one.shape == wanted.shape and torch.allclose(one, wanted, atol=1e-5) for one in found)


def _on_gpu(fused: Callable[..., Any], plain: Callable[..., Any]) -> Callable[..., Any]:
    """The fused function on a GPU, else the plain one."""

    @wraps(plain)
    def rotate(q: Tensor, k: Tensor, cos: Tensor, sin: Tensor, *more: Any, **named: Any) -> Any:
        takes_it = q.is_cuda and not more and not named
        return fused(q, k, cos, sin) if takes_it else plain(q, k, cos, sin, *more, **named)

    vars(rotate)[_DONE] = True
    return rotate


def _rotated(q: Tensor, k: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor]:
    from liger_kernel.ops.rope import LigerRopeFunction

    return LigerRopeFunction.apply(q, k, cos, sin)  # type: ignore[no-any-return]


def _rotated_patches(q: Tensor, k: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor]:
    """Queries and keys of a vision tower, (patch, head, width)."""
    turned = _rotated(q[None].transpose(1, 2), k[None].transpose(1, 2), cos, sin)
    return turned[0].transpose(1, 2).squeeze(0), turned[1].transpose(1, 2).squeeze(0)
