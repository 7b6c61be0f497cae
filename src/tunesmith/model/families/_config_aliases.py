"""Configs under another model type that compute the same, so that a converted model gets a known family."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

SHARED_SETTINGS = (
    "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
    "num_key_value_heads", "max_position_embeddings", "rms_norm_eps", "rope_parameters",
    "tie_word_embeddings", "bos_token_id", "eos_token_id", "pad_token_id",
)  # fmt: skip
"""Settings that the configs of Llama and Qwen2 share."""


def without_alias(config: PreTrainedConfig) -> PreTrainedConfig:
    """The config to save, without quantisation; that of a plain Llama becomes Qwen2's.

    Qwen2 computes the same with biases on queries, keys and values, which must then be zero.
    """
    from transformers import AutoConfig

    settings = config.to_dict()
    settings.pop("quantization_config", None)
    is_plain_llama = config.model_type == "llama" and not config.attention_bias and not config.mlp_bias
    if is_plain_llama and config.head_dim == config.hidden_size // config.num_attention_heads:
        return AutoConfig.for_model("qwen2", **{name: settings[name] for name in SHARED_SETTINGS})
    return AutoConfig.for_model(settings.pop("model_type"), **settings)
