"""A model for benchmarks without a download: a vocabulary learnt on the spot and a tiny vision-language config."""

from __future__ import annotations

import json
from pydoc_data.topics import topics
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoConfig, Qwen2Tokenizer
from transformers.models.qwen2.tokenization_qwen2 import PRETOKENIZE_REGEX

VOCABULARY = 1024
CONTROL = [
    "endoftext", "im_start", "im_end", "object_ref_start", "object_ref_end", "box_start", "box_end",
    "vision_start", "vision_end", "image_pad", "video_pad",
]  # fmt: skip
TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' }}"
    "{% if message['content'] is string %}{{ message['content'] }}"
    "{% else %}{% for piece in message['content'] %}"
    "{% if piece['type'] == 'image' %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% else %}{{ piece['text'] }}{% endif %}{% endfor %}{% endif %}{{ '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def tokenizer() -> Qwen2Tokenizer:
    """Byte-level BPE with Qwen's split and control tokens, learnt from Python's own help."""
    learning = Tokenizer(models.BPE())
    learning.decoder = decoders.ByteLevel()
    learning.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PRETOKENIZE_REGEX), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    size = VOCABULARY - len(CONTROL)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(vocab_size=size, initial_alphabet=alphabet, show_progress=False)
    learning.train_from_iterator(sorted(topics.values()), trainer)
    learnt = json.loads(learning.to_str())["model"]
    made = Qwen2Tokenizer(
        vocab=learnt["vocab"],
        merges=[tuple(pair) for pair in learnt["merges"]],
        unk_token=None,
        eos_token="<|endoftext|>",
        pad_token="<|endoftext|>",
        model_max_length=4096,
    )
    added = [AddedToken(f"<|{name}|>", normalized=False, special=True) for name in CONTROL]
    made.add_tokens(added, special_tokens=False)
    made.eos_token = "<|im_end|>"
    made.chat_template = TEMPLATE
    return made


def config_of(words: Qwen2Tokenizer) -> Any:
    """The architecture of Qwen2.5-VL with 0.3 million weights."""
    rope = {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [2, 3, 3]}
    text: dict[str, Any] = {
        "vocab_size": VOCABULARY, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 4096, "rope_parameters": rope,
        "tie_word_embeddings": True, "bos_token_id": None, "eos_token_id": words.eos_token_id,
        "pad_token_id": words.pad_token_id,
    }  # fmt: skip
    vision: dict[str, Any] = {
        "depth": 2, "num_heads": 4, "hidden_size": 64, "patch_size": 14, "intermediate_size": 192,
        "out_hidden_size": 64, "window_size": 112, "fullatt_block_indexes": [1],
    }  # fmt: skip
    names = {
        "image": "image_pad",
        "video": "video_pad",
        "vision_start": "vision_start",
        "vision_end": "vision_end",
    }
    ids = {f"{name}_token_id": words.convert_tokens_to_ids(f"<|{token}|>") for name, token in names.items()}
    return AutoConfig.for_model(
        "qwen2_5_vl", text_config=text, vision_config=vision, tie_word_embeddings=True, **ids
    )
