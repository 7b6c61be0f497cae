"""Liger's kernels (Hsu et al. 2024) for norms, gated MLPs and rotary positions.

They serve modules that are not part of a fused layer (`fused_layers`), and everything if `model.kernels: liger` is set.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

NORM = "RMSNorm"
"""Suffix of the class names of layers that normalise in fp32 and multiply by their weight in the input's dtype."""
NORM_PARTS = {"weight"}
MLP_PARTS = {"gate_proj", "up_proj", "down_proj", "act_fn"}
"""Submodules of an MLP that computes down(silu(gate(x)) * up(x)) and nothing else."""
ROPE_FUNCTIONS = ("apply_rotary_pos_emb", "apply_rotary_pos_emb_vision")
_PATCHED = "_has_liger_rope"


def apply_liger(model: nn.Module) -> None:
    """Give the model's norms and gated MLPs forward passes by Liger's kernels, and patch its rotary functions.

    A rotary function belongs to the architecture's module, so it is patched for every model of the architecture; on a
    GPU it then calls Liger's kernel.
    """
    for module in model.modules():
        name = type(module).__name__
        if name.endswith(NORM) and dict(module.named_parameters()).keys() == NORM_PARTS:
            module.forward = _norm(module)
        elif dict(module.named_children()).keys() == MLP_PARTS and "SiLU" in type(module.act_fn).__name__:
            module.forward = _mlp(module)
        elif name.endswith("Attention"):
            _patch_rope(sys.modules[type(module).__module__])


def _norm(module: Any) -> Callable[[Tensor], Tensor]:
    from liger_kernel.ops.rms_norm import LigerRMSNormFunction

    def forward(x: Tensor) -> Tensor:
        # In place would overwrite a gradient that the residual stream still needs.
        return LigerRMSNormFunction.apply(  # type: ignore[no-any-return]
            x, module.weight, module.variance_epsilon, 0.0, "llama", False
        )

    return forward


def _mlp(module: Any) -> Callable[[Tensor], Tensor]:
    from liger_kernel.ops.swiglu import LigerSiLUMulFunction

    def forward(x: Tensor) -> Tensor:
        gated = LigerSiLUMulFunction.apply(module.gate_proj(x), module.up_proj(x))
        return module.down_proj(gated)  # type: ignore[no-any-return]

    return forward


def _patch_rope(architecture: ModuleType) -> None:
    fused = {"apply_rotary_pos_emb": _apply_rope, "apply_rotary_pos_emb_vision": _apply_vision_rope}
    for name in ROPE_FUNCTIONS:
        plain = vars(architecture).get(name)
        if plain is not None and _PATCHED not in vars(plain) and _rotates_halves(plain):
            vars(architecture)[name] = _on_gpu(fused[name], plain)


def _rotates_halves(plain: Callable[..., Any]) -> bool:
    """Whether the function rotates a head's first half against its second, as Liger's kernel does.

    Some architectures rotate neighbouring columns against each other, or add to the angles.
    """
    generator = torch.Generator().manual_seed(0)
    is_vision = "vision" in plain.__name__
    angles = torch.randn(1, 3, 4, generator=generator).tile(2)
    heads = torch.randn(1, 2, 3, 8, generator=generator)
    first, second = heads.chunk(2, dim=-1)
    expected = heads * angles.cos() + torch.cat([-second, first], dim=-1) * angles.sin()
    if is_vision:
        heads, expected = (x.squeeze(0).transpose(0, 1) for x in (heads, expected))
        angles = angles.squeeze(0)
    try:
        rotated = plain(heads, heads, angles.cos(), angles.sin())
    except (RuntimeError, TypeError, ValueError, IndexError):
        return False
    return all(x.shape == expected.shape and torch.allclose(x, expected, atol=1e-5) for x in rotated)


def _on_gpu(fused: Callable[..., Any], plain: Callable[..., Any]) -> Callable[..., Any]:
    """The fused function on a GPU, else the plain one."""

    @wraps(plain)
    def rotate(q: Tensor, k: Tensor, cos: Tensor, sin: Tensor, *args: Any, **kwargs: Any) -> Any:
        is_supported = q.is_cuda and not args and not kwargs
        return fused(q, k, cos, sin) if is_supported else plain(q, k, cos, sin, *args, **kwargs)

    vars(rotate)[_PATCHED] = True
    return rotate


def _apply_rope(q: Tensor, k: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor]:
    from liger_kernel.ops.rope import LigerRopeFunction

    return LigerRopeFunction.apply(q, k, cos, sin)  # type: ignore[no-any-return]


def _apply_vision_rope(q: Tensor, k: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor]:
    """Queries and keys of a vision tower, which come as (patch, head, width)."""
    rotated = _apply_rope(q[None].transpose(1, 2), k[None].transpose(1, 2), cos, sin)
    return rotated[0].transpose(1, 2).squeeze(0), rotated[1].transpose(1, 2).squeeze(0)
