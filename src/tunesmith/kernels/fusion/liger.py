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

from tunesmith.kernels.fusion.layer_spec import (
    Architecture,
    AttentionSpec,
    MlpSpec,
    NormSpec,
    child_names,
    described_modules,
)

CAST_NORMALISED, CAST_PRODUCT = 0, 1
"""Liger's casting modes: the input's dtype is restored before the product with the weight, or after it."""
ROPE_FUNCTIONS = ("apply_rotary_pos_emb", "apply_rotary_pos_emb_vision")
_PATCHED = "_has_liger_rope"


def apply_liger(model: nn.Module, architecture: Architecture) -> None:
    """Give described norms and gated MLPs forward passes by Liger's kernels, and patch rotary functions.

    A rotary function belongs to the architecture's module, so it is patched for every model of the architecture; on a
    GPU it then calls Liger's kernel.
    """
    for spec in described_modules(model, architecture):
        match spec:
            case NormSpec(kind="rms"):
                spec.module.forward = _norm(spec)
            case MlpSpec(is_swiglu=True):
                spec.module.forward = _mlp(spec)
            case AttentionSpec():
                _patch_rope(sys.modules[type(spec.module).__module__])


def _norm(spec: NormSpec) -> Callable[[Tensor], Tensor]:
    from liger_kernel.ops.rms_norm import LigerRMSNormFunction

    # Norms of 1 + weight multiply in fp32 (transformers does so too).
    casting = CAST_PRODUCT if spec.weight_offset else CAST_NORMALISED

    def forward(x: Tensor) -> Tensor:
        # In place would overwrite a gradient that the residual stream still needs.
        return LigerRMSNormFunction.apply(  # type: ignore[no-any-return]
            x, spec.module.weight, spec.eps, spec.weight_offset, casting, False
        )

    return forward


def _mlp(spec: MlpSpec) -> Callable[[Tensor], Tensor]:
    from liger_kernel.ops.swiglu import LigerSiLUMulFunction

    module = spec.module
    gate, up, down = child_names(module, (*spec.projections, spec.output))

    def forward(x: Tensor) -> Tensor:
        # By name, since adapters may have taken the place of the linear layers.
        outputs = (module.get_submodule(name)(x) for name in (gate, up))
        return module.get_submodule(down)(LigerSiLUMulFunction.apply(*outputs))  # type: ignore[no-any-return]

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
