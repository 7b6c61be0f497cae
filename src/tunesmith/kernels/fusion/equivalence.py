"""Whether the layers of an architecture are what the whole functions take them for: a small one is run both ways."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from typing import Any

import torch
from torch._subclasses.fake_tensor import unset_fake_temporarily

from tunesmith.batching.batch import Segments
from tunesmith.errors import ModelError
from tunesmith.kernels.attention.packed import REGISTERED

SMALL = {
    "hidden_size": 64, "intermediate_size": 64, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16
}  # fmt: skip
"""Sizes of a layer that an architecture is tried with."""
PROBED = (20, 12)
"""Lengths of the segments that it is given."""

Exchange = Callable[[Any], Callable[..., Any] | None]
"""From a layer to its forward pass by whole functions, in fp32; None if it has none."""
_usual: dict[tuple[type, int, str], bool] = {}


def is_usual(layer: Any, exchanged: Exchange) -> bool:
    """Whether a small layer like this one gives in training what the whole functions give; tried once for each
    architecture and place in it, since forecasts and stages ask again and again."""
    attention = layer.self_attn
    like = type(layer), attention.layer_idx, attention.config.to_json_string()
    if like not in _usual:
        _usual[like] = _gives_what_is_usual(layer, exchanged)
    return _usual[like]


@torch.no_grad()
def _gives_what_is_usual(layer: Any, exchanged: Exchange) -> bool:
    """Some architectures put the same parts together in another way: they scale what is added, or turn queries by other
    positions or not at all."""
    # A forecast asks this of layers without data.
    with unset_fake_temporarily(), torch.device("cpu"), torch.random.fork_rng(devices=[]):
        # Not `torch.manual_seed`, which is a GPU's too.
        torch.default_generator.manual_seed(0)
        try:
            small = _small(layer).train()
            own = exchanged(small)
            if own is None:
                return False
            hidden = torch.randn(1, sum(PROBED), len(small.input_layernorm.weight))
            angles = 6 * torch.rand(1, sum(PROBED), small.self_attn.head_dim)
            turned, segments = (angles.cos(), angles.sin()), Segments.end_to_end(list(PROBED))
            plain = small.forward(hidden, attention_mask=None, position_embeddings=turned, segments=segments)
            found = own(hidden, position_embeddings=turned, segments=segments)
            return torch.allclose(found, plain, rtol=1e-3, atol=1e-3)
        except (RuntimeError, TypeError, ValueError, AttributeError, ModelError):
            return False


def _small(layer: Any) -> Any:
    """A small layer of the same architecture and place in the model, all of whose weights matter."""
    config = copy(layer.self_attn.config)
    vars(config).update(SMALL)
    config._attn_implementation = REGISTERED["sdpa"]
    small = type(layer)(config, layer.self_attn.layer_idx).float()
    for weight in small.parameters():
        weight.add_(torch.randn_like(weight), alpha=0.2)
    return small.requires_grad_(False)
