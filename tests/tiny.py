"""Tiny models and tokenizers on disk, made in a fraction of a second: real architectures, random weights."""

from __future__ import annotations

import atexit
import json
import shutil
import tempfile
from functools import cache
from pathlib import Path
from pydoc_data.topics import topics

import torch
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerBase, Qwen2Tokenizer
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
"""Text and whether it is special; as in Qwen3's own files, the thinking tags are not."""


def tiny_tokenizer(
    folder: Path, chat_template: str = CHATML, vocabulary: int = 1024
) -> PreTrainedTokenizerBase:
    """A byte-level BPE tokenizer with Qwen's split, `vocabulary` entries in all, saved to `folder`."""
    tokens, merges = _byte_pairs(vocabulary - len(CONTROL_TOKENS))
    tokenizer = Qwen2Tokenizer(
        vocab=dict(tokens),
        merges=list(merges),
        unk_token=None,
        eos_token="<|endoftext|>",
        pad_token="<|endoftext|>",
        model_max_length=2048,
    )
    added = [AddedToken(text, normalized=False, special=special) for text, special in CONTROL_TOKENS]
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
