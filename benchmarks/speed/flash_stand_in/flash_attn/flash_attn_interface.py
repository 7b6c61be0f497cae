"""flash-attn's functions with its own arguments."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch.nn.attention.varlen import varlen_attn

flash_attn_gpu = flash_attn_cuda = None
_KNOWN = inspect.signature(varlen_attn).parameters


def flash_attn_varlen_func(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    cu_seqlens_q: torch.Tensor,
    cu_seqlens_k: torch.Tensor,
    max_seqlen_q: int,
    max_seqlen_k: int,
    dropout_p: float = 0.0,
    softmax_scale: float | None = None,
    causal: bool = False,
    window_size: tuple[int, int] = (-1, -1),
    softcap: float = 0.0,
    alibi_slopes: Any = None,
    deterministic: bool = False,
    return_attn_probs: bool = False,
    block_table: Any = None,
) -> torch.Tensor:
    """Attention of (token, head, width) within each of the sequences that these bounds mark."""
    _refuse(
        dropout_p=dropout_p, softcap=softcap, alibi=alibi_slopes, probs=return_attn_probs, table=block_table
    )
    left, right = window_size
    extras: dict[str, Any] = {"scale": softmax_scale}
    if "window_size" in _KNOWN:
        extras["window_size"] = (left, 0 if causal else right)
    elif left < 0:
        extras["is_causal"] = causal
    else:
        raise NotImplementedError("this PyTorch has no sliding window")
    if "enable_gqa" in _KNOWN:  # Before it was there, heads were shared without being told.
        extras["enable_gqa"] = q.shape[1] != k.shape[1]
    bounds = cu_seqlens_q.to(torch.int32), cu_seqlens_k.to(torch.int32)
    return varlen_attn(q, k, v, *bounds, int(max_seqlen_q), int(max_seqlen_k), **extras)


def flash_attn_func(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    dropout_p: float = 0.0,
    softmax_scale: float | None = None,
    causal: bool = False,
    window_size: tuple[int, int] = (-1, -1),
    softcap: float = 0.0,
    alibi_slopes: Any = None,
    deterministic: bool = False,
    return_attn_probs: bool = False,
) -> torch.Tensor:
    """Attention of (batch, token, head, width)."""
    batch, queries, heads, width = q.shape
    keys = k.shape[1]
    ends = [
        torch.arange(0, (batch + 1) * size, size, dtype=torch.int32, device=q.device)
        for size in (queries, keys)
    ]
    lines = [one.reshape(-1, *one.shape[2:]) for one in (q, k, v)]
    out = flash_attn_varlen_func(  # type: ignore[call-arg]
        *lines, *ends, queries, keys, dropout_p, softmax_scale, causal, window_size, softcap, alibi_slopes,
        deterministic, return_attn_probs,
    )  # fmt: skip
    return out.reshape(batch, queries, heads, width)


def flash_attn_with_kvcache(*_: Any, **__: Any) -> torch.Tensor:
    """Not needed in training."""
    raise NotImplementedError("the stand-in for flash-attn does not generate")


def _refuse(**asked: Any) -> None:
    named = [name for name, value in asked.items() if value]
    if named:
        raise NotImplementedError(f"the stand-in for flash-attn has no {', '.join(named)}")
