"""A model's config with small sizes, so that a random model of its architecture is built quickly.

All that decides how layers are put together is kept: kinds of layers, biases, shared keys and values, experts, rotary
positions, windows. Sizes are recognised by the words that the configs of transformers use for them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from transformers import PreTrainedConfig

WIDTH, HEADS, HEAD_DIM, WINDOW, POSITIONS, LAYERS = 64, 4, 16, 8, 256, 4
ORIGINAL_POSITIONS = 16
"""Positions beyond which rotary frequencies may change; longer than some examples of a trial, shorter than others."""
MAX_LAYERS = 12

SIZES = (
    (re.compile(r"vocab"), 96),
    (re.compile(r"group"), 1),
    (re.compile(r"per_tok|top_?k|num_selected"), 2),
    (re.compile(r"^(num|n|moe_num)_(\w+_)?experts?$"), 4),
    (re.compile(r"head_dim$|^qk_\w+_dim$|kv_channels|rank|_state"), HEAD_DIM),
    (re.compile(r"hidden_size|intermediate|ffn|inner|width|_dim$|^dim$|embd$|d_model|d_ff"), WIDTH),
    (re.compile(r"original_max_position"), ORIGINAL_POSITIONS),
    (re.compile(r"position|n_ctx"), POSITIONS),
)
"""Words in the names of settings, and the most that such a setting may be; the first that fits counts."""
WINDOWS = re.compile(r"window|attention_chunk_size")
UNCHANGED = re.compile(r"patch|kernel|conv|_id$|_index$")
PERIODS = re.compile(r"_(step|interval|period|pattern|freq|frequency)$")
"""Settings by which every n-th layer is of another kind."""
FIRST_LAYERS = re.compile(r"^(first_k_dense_replace|num_dense_layers?|moe_layer_start_index)$")
"""Settings that say how many of the first layers have no experts."""
LAST_LAYERS = "num_kv_shared_layers"
"""How many of the last layers use the keys and values of earlier ones."""

Settings = dict[str, Any]


def tiny_config(config: PreTrainedConfig) -> PreTrainedConfig:
    """A copy of a config with few, narrow layers, one of each kind at least, and short windows."""
    small = deepcopy(config)
    vars(small).pop("quantization_config", None)
    text = small.get_text_config()
    real = dict(text.attribute_map)
    common = {name: own for own, name in real.items()}
    settings = {
        common.get(name, name): value for name, value in vars(text).items() if not name.startswith("_")
    }
    changed = {name: _shrunk(name, value, settings) for name, value in settings.items()}
    changed |= _few_heads(settings)
    changed |= _few_layers(changed)
    changed |= {
        name: 0 for name, value in settings.items() if name.endswith("_token_id") and value is not None
    }
    changed |= _short_rotary(settings, changed)
    vars(text).update({real.get(name, name): value for name, value in changed.items()})
    return small


def _shrunk(name: str, value: Any, settings: Settings) -> Any:
    """A setting, or each number in a list, made small if its name is that of a size."""
    if isinstance(value, list):
        return [_shrunk(name, each, settings) for each in value]
    if type(value) is not int or value <= 1 or UNCHANGED.search(name):
        return value
    if WINDOWS.search(name):
        # A window as long as the positions leaves nothing out, but what makes it may do so.
        return WINDOW if value <= settings.get("max_position_embeddings", value) else value
    most = next((most for words, most in SIZES if words.search(name)), value)
    return min(value, most)


def _few_heads(settings: Settings) -> Settings:
    """Few heads of one width; they share keys and values if those of the model do."""
    few: Settings = {}
    heads = settings.get("num_attention_heads")
    for name, value in settings.items():
        if type(value) is int and name.endswith("heads") and value > 1:
            few[name] = HEADS if value == heads else min(HEADS // 2, value)
    if type(settings.get("head_dim")) is int:
        few["head_dim"] = HEAD_DIM
    return few


def _few_layers(settings: Settings) -> Settings:
    """The first layers that hold every kind, or one layer of each kind if those are too many."""
    total = "num_hidden_layers" if "num_hidden_layers" in settings else "num_layers"
    number = settings[total]
    lists = {
        name: value for name, value in settings.items() if isinstance(value, list) and len(value) == number
    }
    periods = [value for name, value in settings.items() if PERIODS.search(name) and type(value) is int]
    has_first = any(value and FIRST_LAYERS.search(name) for name, value in settings.items())
    kinds = [repr(kind) for kind in zip(*lists.values(), strict=True)]
    last_new = max((kinds.index(kind) for kind in kinds), default=0)
    few = max(LAYERS, last_new + 1, 1 + has_first, *(period for period in periods if period <= MAX_LAYERS))
    few = min(few, number, MAX_LAYERS)
    chosen = list(range(few))
    if last_new >= few:
        chosen = sorted({kinds.index(kind) for kind in kinds})[:MAX_LAYERS]
    changed: Settings = {total: len(chosen)}
    if settings.get(LAST_LAYERS):
        # As many again, so that there is an earlier layer of each kind.
        changed = {total: 2 * len(chosen), LAST_LAYERS: len(chosen)}
        chosen = chosen * 2
    changed |= {name: [value[layer] for layer in chosen] for name, value in lists.items()}
    changed |= {name: 1 for name, value in settings.items() if FIRST_LAYERS.search(name) and value}
    return changed | _few_indices(settings, chosen, number)


def _few_indices(settings: Settings, chosen: list[int], number: int) -> Settings:
    """Lists of indices of layers (of those without experts, ...), for the layers that are left."""
    indices = {
        name: value
        for name, value in settings.items()
        if isinstance(value, list)
        and len(value) < number
        and re.search(r"layer|_idx|_indices", name)
        and all(type(each) is int and each < number for each in value)
    }
    return {
        name: [place for place, layer in enumerate(chosen) if layer in value]
        for name, value in indices.items()
    }


def _short_rotary(settings: Settings, changed: Settings) -> Settings:
    """Rotary positions for heads of the new width."""
    heads, width = settings.get("num_attention_heads"), settings.get("hidden_size")
    if type(heads) is not int or type(width) is not int:
        return {}
    before = settings.get("head_dim") or width // heads
    after = changed.get("head_dim") or HEAD_DIM
    short: Settings = {}
    if type(settings.get("rotary_dim")) is int:
        short["rotary_dim"] = max(2, settings["rotary_dim"] * after // before // 2 * 2)
    parameters = settings.get("rope_parameters")
    if isinstance(parameters, Mapping):
        short["rope_parameters"] = _short_factors(parameters, before, after)
    return short


def _short_factors(parameters: Mapping[str, Any], before: int, after: int) -> Settings:
    """Rotary settings with lists of frequencies cut to the new width of heads."""
    short: Settings = {}
    for name, value in parameters.items():
        if isinstance(value, Mapping):
            short[name] = _short_factors(value, before, after)
        elif name == "mrope_section":
            half_width = sum(value) * after // before
            parts = [each * after // before for each in value]
            short[name] = [half_width - sum(parts[1:]), *parts[1:]]
        elif isinstance(value, list):
            short[name] = value[: len(value) * after // before]
        else:
            short[name] = _shrunk(name, value, {})
    return short
