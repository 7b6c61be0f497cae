"""Equivalence check: whether a fused layer computes what an architecture's own layer computes.

Some architectures have the usual submodules and combine them differently: they scale the residual stream, or rotate by
other positions or not at all. So a small layer of the same class is run both ways before layers are replaced.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from typing import Any

import torch

from tunesmith.batching.batch import Segments
from tunesmith.errors import ModelError
from tunesmith.kernels.attention.packed import REGISTERED

SMALL = {
    "hidden_size": 64, "intermediate_size": 64, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16
}  # fmt: skip
"""Sizes of the layer that is tried."""
LENGTHS = (20, 12)
"""Tokens of the segments that it is run on."""

FuseForward = Callable[[Any], Callable[..., Any] | None]
"""From a layer to its fused forward pass in fp32; None if it cannot be fused."""
_results: dict[tuple[type, int, str], bool] = {}


def is_equivalent(layer: Any, fuse: FuseForward) -> bool:
    """Whether a small layer like this one gives in training mode what its fused form gives.

    The result is kept for each class, config and index of a layer, since forecasts and stages ask repeatedly.
    """
    attention = layer.self_attn
    key = type(layer), attention.layer_idx, attention.config.to_json_string()
    if key not in _results:
        _results[key] = _agree(layer, fuse)
    return _results[key]


@torch.no_grad()
def _agree(layer: Any, fuse: FuseForward) -> bool:
    with torch.device("cpu"), torch.random.fork_rng(devices=[]):
        # Not `torch.manual_seed`, which would reseed GPUs too.
        torch.default_generator.manual_seed(0)
        try:
            small = _small_layer(layer).train()
            fused = fuse(small)
            if fused is None:
                return False
            x = torch.randn(1, sum(LENGTHS), len(small.input_layernorm.weight))
            angles = 6 * torch.rand(1, sum(LENGTHS), small.self_attn.head_dim)
            inputs = {
                "position_embeddings": (angles.cos(), angles.sin()),
                "segments": Segments.end_to_end(list(LENGTHS)),
            }
            expected = small.forward(x, attention_mask=None, **inputs)
            return torch.allclose(fused(x, **inputs), expected, rtol=1e-3, atol=1e-3)
        except (RuntimeError, TypeError, ValueError, AttributeError, ModelError):
            return False


def _small_layer(layer: Any) -> Any:
    """A small layer of the same class and index, with random weights everywhere, norms and biases included."""
    config = copy(layer.self_attn.config)
    vars(config).update(SMALL)
    config._attn_implementation = REGISTERED["sdpa"]
    small = type(layer)(config, layer.self_attn.layer_idx).float()
    for weight in small.parameters():
        weight.add_(torch.randn_like(weight), alpha=0.2)
    return small.requires_grad_(False)
