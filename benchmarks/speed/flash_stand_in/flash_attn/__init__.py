"""Stands in for the flash-attn package, which must be compiled: its entry points, on PyTorch's own flash kernels.

Only for benchmarks, so that engines that want flash-attn run at their best. No dropout in attention, no softcapping,
no ALiBi; with one of them it raises.
"""

from __future__ import annotations

from flash_attn.flash_attn_interface import flash_attn_func, flash_attn_varlen_func, flash_attn_with_kvcache

__version__ = "2.8.3"
__all__ = ["flash_attn_func", "flash_attn_varlen_func", "flash_attn_with_kvcache"]
