"""A folder with a small vision-language model of random weights: real architecture, a vocabulary learnt on the spot.

python benchmarks/digits/make_model.py FOLDER [qwen2_vl | qwen2_5_vl | qwen3_vl] [--tiny]
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

import torch
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoConfig, AutoModelForImageTextToText, Qwen2Tokenizer
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


def config_of(model_type: str, words: Qwen2Tokenizer, tiny: bool) -> Any:
    """The architecture: 18 million weights, or 0.3 million."""
    width, seen, layers = (64, 64, 2) if tiny else (384, 256, 6)
    head = 16 if tiny else 64
    rope = {
        "rope_type": "default",
        "rope_theta": 1e4,
        "mrope_section": [head // 8, head * 3 // 16, head * 3 // 16],
    }
    text: dict[str, Any] = {
        "vocab_size": VOCABULARY, "hidden_size": width, "intermediate_size": width * 8 // 3 // 64 * 64,
        "num_hidden_layers": layers, "num_attention_heads": width // head, "num_key_value_heads": 2,
        "max_position_embeddings": 4096, "rope_parameters": rope, "tie_word_embeddings": True,
        "bos_token_id": None, "eos_token_id": words.eos_token_id, "pad_token_id": words.pad_token_id,
    }  # fmt: skip
    vision: dict[str, Any] = {"depth": layers, "num_heads": 4, "hidden_size": seen, "patch_size": 14}
    if model_type == "qwen2_vl":
        vision |= {"embed_dim": seen, "hidden_size": width, "mlp_ratio": 3}
    else:
        vision |= {"intermediate_size": 3 * seen, "out_hidden_size": width}
    if model_type == "qwen2_5_vl":
        vision |= {"window_size": 112, "fullatt_block_indexes": list(range(1, layers, 2))}
    if model_type == "qwen3_vl":
        text |= {"head_dim": head, "rope_parameters": {**rope, "mrope_interleaved": True}}
        vision |= {
            "patch_size": 16,
            "num_position_embeddings": 256,
            "deepstack_visual_indexes": list(range(layers // 2)),
        }
    names = {
        "image": "image_pad",
        "video": "video_pad",
        "vision_start": "vision_start",
        "vision_end": "vision_end",
    }
    ids = {f"{name}_token_id": words.convert_tokens_to_ids(f"<|{token}|>") for name, token in names.items()}
    return AutoConfig.for_model(
        model_type, text_config=text, vision_config=vision, tie_word_embeddings=True, **ids
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("model_type", nargs="?", default="qwen2_vl")
    parser.add_argument("--tiny", action="store_true")
    asked = parser.parse_args()
    words = tokenizer()
    words.save_pretrained(asked.folder)
    config = config_of(asked.model_type, words, asked.tiny)
    torch.manual_seed(0)
    model = AutoModelForImageTextToText.from_config(config)
    model.save_pretrained(asked.folder)
    patch = config.vision_config.patch_size
    settings = {"patch_size": patch, "merge_size": 2, "temporal_patch_size": 2, "image_mean": [0.5] * 3,
                "image_std": [0.5] * 3, "min_pixels": 16 * patch**2, "max_pixels": 4096 * patch**2}  # fmt: skip
    (asked.folder / "preprocessor_config.json").write_text(json.dumps(settings))
    print(
        f"{asked.folder}: {asked.model_type}, {sum(weight.numel() for weight in model.parameters()):,} weights"
    )


if __name__ == "__main__":
    main()
