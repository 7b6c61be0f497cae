"""Tiny models and tokenizers on disk, made in a fraction of a second: real architectures, random weights."""

from __future__ import annotations

import atexit
import json
import shutil
import tempfile
from functools import cache
from importlib.metadata import files
from pathlib import Path
from pydoc_data.topics import topics

import pytest
import torch
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    PreTrainedTokenizerBase,
    Qwen2Tokenizer,
)
from transformers.models.qwen2.tokenization_qwen2 import PRETOKENIZE_REGEX

CHATML = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
CONTROL_TOKENS = (
    ("<|endoftext|>", True),
    ("<|im_start|>", True),
    ("<|im_end|>", True),
    ("<think>", False),
    ("</think>", False),
)
SEEING_TOKENS = tuple(
    (f"<|{name}|>", True)
    for name in (
        "object_ref_start", "object_ref_end", "box_start", "box_end", "vision_start", "vision_end",
        "image_pad", "video_pad",
    )
)  # fmt: skip
"""Text and whether it is special; as in Qwen3's own files, the thinking tags are not."""
CLIP = {
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
}
Control = tuple[tuple[str, bool], ...]


def tiny_tokenizer(
    folder: Path, chat_template: str = CHATML, vocabulary: int = 1024, control: Control = CONTROL_TOKENS
) -> PreTrainedTokenizerBase:
    """A byte-level BPE tokenizer with Qwen's split, `vocabulary` entries in all, saved to `folder`."""
    tokens, merges = _byte_pairs(vocabulary - len(control))
    tokenizer = Qwen2Tokenizer(
        vocab=dict(tokens),
        merges=list(merges),
        unk_token=None,
        eos_token="<|endoftext|>",
        pad_token="<|endoftext|>",
        model_max_length=2048,
    )
    added = [AddedToken(text, normalized=False, special=special) for text, special in control]
    tokenizer.add_tokens(added, special_tokens=False)
    # Qwen2Tokenizer gives ids to its end tokens when it is made, so this one can only be named afterwards.
    tokenizer.eos_token = "<|im_end|>"
    tokenizer.chat_template = chat_template
    tokenizer.save_pretrained(folder)
    return tokenizer


def tiny_model(
    folder: Path,
    model_type: str = "qwen2",
    seed: int = 0,
    hidden_size: int = 64,
    layers: int = 2,
    vocabulary: int = 1024,
    **config: object,
) -> Path:
    """A folder with a random model of `model_type` (qwen2, qwen3, llama) and a tokenizer; the same for equal
    arguments. Further settings of the architecture go through `config`. The folder comes back."""
    made = _model(model_type, seed, hidden_size, layers, vocabulary, tuple(sorted(config.items())))
    shutil.copytree(made, folder, dirs_exist_ok=True)
    return folder


def tiny_seeing_model(folder: Path, model_type: str, seed: int = 0, layers: int = 2, width: int = 64) -> Path:
    """A folder with a random vision-language model (qwen2_vl, qwen2_5_vl, qwen3_vl), its tokenizer, the
    generation's official chat template and picture settings; the same for equal arguments."""
    shutil.copytree(_seeing_model(model_type, seed, layers, width), folder, dirs_exist_ok=True)
    return folder


@cache
def _seeing_model(model_type: str, seed: int, layers: int, width: int) -> Path:
    folder = Path(tempfile.mkdtemp(prefix="tunesmith-tiny-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    template = official_template("qwen3_vl" if model_type == "qwen3_vl" else "qwen2_5_vl")
    tokenizer = tiny_tokenizer(folder, template, control=CONTROL_TOKENS + SEEING_TOKENS)
    patch = 16 if model_type == "qwen3_vl" else 14
    rope = {"rope_type": "default", "mrope_section": [2, 3, 3], "rope_theta": 1e4}
    text = {
        "vocab_size": 1024, "hidden_size": width, "intermediate_size": 2 * width, "num_hidden_layers": layers,
        "num_attention_heads": width // 16, "num_key_value_heads": 2, "max_position_embeddings": 4096,
        "bos_token_id": None, "eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id,
        "rope_parameters": rope, "tie_word_embeddings": True,
    }  # fmt: skip
    vision = {"depth": 2, "num_heads": 4, "hidden_size": 64, "patch_size": patch, "in_channels": 3}
    if model_type == "qwen2_vl":
        vision |= {"embed_dim": 64, "hidden_size": width, "mlp_ratio": 2}
    else:
        vision |= {"intermediate_size": 128, "out_hidden_size": width}
    if model_type == "qwen2_5_vl":
        # As that of the real ones, the width is no multiple of eight.
        vision |= {"window_size": 56, "fullatt_block_indexes": [1], "intermediate_size": 124}
    if model_type == "qwen3_vl":
        text |= {"head_dim": 16, "rope_parameters": {**rope, "mrope_interleaved": True}}
        vision |= {"num_position_embeddings": 64, "deepstack_visual_indexes": [0, 1]}
    names = {"image": "<|image_pad|>", "video": "<|video_pad|>", "vision_start": "<|vision_start|>",
             "vision_end": "<|vision_end|>"}  # fmt: skip
    ids = {f"{name}_token_id": tokenizer.convert_tokens_to_ids(token) for name, token in names.items()}
    config = AutoConfig.for_model(
        model_type, text_config=text, vision_config=vision, tie_word_embeddings=True, **ids
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        AutoModelForImageTextToText.from_config(config).save_pretrained(folder)
    means = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3} if model_type == "qwen3_vl" else CLIP
    settings = {
        "image_processor_type": "Qwen2VLImageProcessor", "merge_size": 2, "patch_size": patch,
        "temporal_patch_size": 2, "min_pixels": 4 * patch**2, "max_pixels": 128 * patch**2, **means,
    }  # fmt: skip
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))
    return folder


def official_template(name: str) -> str:
    """The chat template that TRL ships as `name`, untouched."""
    found = [file for file in files("trl") or () if str(file).endswith(f"chat_templates/{name}.jinja")]
    if not found:
        pytest.skip("trl, whose chat templates these are, is not installed")
    return Path(str(found[0].locate())).read_text(encoding="utf-8")


@cache
def _model(
    model_type: str,
    seed: int,
    hidden_size: int,
    layers: int,
    vocabulary: int,
    config: tuple[tuple[str, object], ...],
) -> Path:
    folder = Path(tempfile.mkdtemp(prefix="tunesmith-tiny-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    tokenizer = tiny_tokenizer(folder, vocabulary=vocabulary)
    settings = AutoConfig.for_model(
        model_type,
        **{
            "vocab_size": vocabulary,
            "hidden_size": hidden_size,
            "intermediate_size": 2 * hidden_size,
            "num_hidden_layers": layers,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "head_dim": hidden_size // 4,
            "max_position_embeddings": 2048,
            "tie_word_embeddings": True,
            "bos_token_id": None,
            "eos_token_id": tokenizer.eos_token_id,
            "pad_token_id": tokenizer.pad_token_id,
            **dict(config),
        },
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        AutoModelForCausalLM.from_config(settings).save_pretrained(folder)
    return folder


@cache
def _byte_pairs(size: int) -> tuple[tuple[tuple[str, int], ...], tuple[tuple[str, str], ...]]:
    """Entries with their ids, and merges, learnt from the topics of Python's own help."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PRETOKENIZE_REGEX), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=size, initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()), show_progress=False
    )
    tokenizer.train_from_iterator(sorted(topics.values())[:80], trainer)
    model = json.loads(tokenizer.to_str())["model"]
    return tuple(model["vocab"].items()), tuple(tuple(pair) for pair in model["merges"])
