"""The models: configs of the real shapes, and toys of the same architectures; with a tokenizer, as a folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.toy import tokenizer

SEEING = "qwen2.5-vl-7b"
MODELS = ("qwen2.5-7b", "qwen2.5-1.5b", "qwen3-0.6b", SEEING)

_TOY = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 2048,
    "max_position_embeddings": 8192,
}
_QWEN_7B = {
    "hidden_size": 3584,
    "intermediate_size": 18944,
    "num_hidden_layers": 28,
    "num_attention_heads": 28,
    "num_key_value_heads": 4,
    "vocab_size": 152064,
    "max_position_embeddings": 32768,
}
_QWEN_15B = {
    "hidden_size": 1536,
    "intermediate_size": 8960,
    "num_hidden_layers": 28,
    "num_attention_heads": 12,
    "num_key_value_heads": 2,
    "vocab_size": 151936,
    "max_position_embeddings": 32768,
}
_QWEN3_06B = {
    "hidden_size": 1024,
    "intermediate_size": 3072,
    "num_hidden_layers": 28,
    "num_attention_heads": 16,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "vocab_size": 151936,
    "max_position_embeddings": 40960,
}
_TOWER = {
    "depth": 32,
    "hidden_size": 1280,
    "intermediate_size": 3420,
    "num_heads": 16,
    "out_hidden_size": 3584,
    "patch_size": 14,
    "window_size": 112,
    "fullatt_block_indexes": [7, 15, 23, 31],
}
_TOY_TOWER = {
    "depth": 2,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_heads": 4,
    "out_hidden_size": 64,
    "fullatt_block_indexes": [1],
}
PICTURES = {
    "image_processor_type": "Qwen2VLImageProcessor",
    "patch_size": 14,
    "temporal_patch_size": 2,
    "merge_size": 2,
    "min_pixels": 3136,
    "max_pixels": 12845056,
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
}
"""`preprocessor_config.json` of Qwen2.5-VL."""


def write_folder(folder: Path, model: str, small: bool) -> None:
    """Put config, tokenizer and picture settings of a model into a folder; weights are drawn where they are needed."""
    words = tokenizer()
    words.save_pretrained(folder)
    config_of(model, words, small).save_pretrained(folder)
    if model == SEEING:
        (folder / "preprocessor_config.json").write_text(json.dumps(PICTURES))


def config_of(model: str, words: Any, small: bool) -> Any:
    """The config of a model of `MODELS`, or of a toy of its architecture."""
    from transformers import AutoConfig

    ends = {"bos_token_id": None, "eos_token_id": words.eos_token_id, "pad_token_id": words.pad_token_id}
    if model == "qwen3-0.6b":
        shape = _TOY | {"head_dim": 16} if small else _QWEN3_06B
        rope = {"rope_type": "default", "rope_theta": 1e6}
        return _named(
            AutoConfig.for_model("qwen3", **shape, rope_parameters=rope, tie_word_embeddings=True, **ends),
            "Qwen3ForCausalLM",
        )
    shape = _TOY if small else _QWEN_15B if model == "qwen2.5-1.5b" else _QWEN_7B
    if model != SEEING:
        rope, tied = {"rope_type": "default", "rope_theta": 1e6}, model == "qwen2.5-1.5b"
        return _named(
            AutoConfig.for_model("qwen2", **shape, rope_parameters=rope, tie_word_embeddings=tied, **ends),
            "Qwen2ForCausalLM",
        )
    rope = {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [2, 3, 3] if small else [16, 24, 24]}
    names = {
        "image": "image_pad",
        "video": "video_pad",
        "vision_start": "vision_start",
        "vision_end": "vision_end",
    }
    ids = {f"{name}_token_id": words.convert_tokens_to_ids(f"<|{token}|>") for name, token in names.items()}
    return _named(
        AutoConfig.for_model(
            "qwen2_5_vl",
            text_config={**shape, "rope_parameters": rope, "tie_word_embeddings": False, **ends},
            vision_config=_TOWER | (_TOY_TOWER if small else {}),
            tie_word_embeddings=False,
            **ids,
        ),
        "Qwen2_5_VLForConditionalGeneration",
    )


def _named(config: Any, architecture: str) -> Any:
    config.architectures = [architecture]
    return config
