"""The real tokenizer of Qwen2.5 and Qwen3, rebuilt from the vocabulary inside the Python package
dashscope."""

from __future__ import annotations

import base64
import copy
import subprocess
import sys
import tempfile
import zipfile
from functools import cache
from importlib.metadata import PackageNotFoundError, files
from itertools import pairwise
from pathlib import Path

import pytest
from tokenizers import AddedToken
from tokenizers.pre_tokenizers import ByteLevel
from transformers import Qwen2Tokenizer

PACKAGE, FILE = "dashscope==2.0.2", "dashscope/resources/qwen.tiktoken"
SPECIAL = ["endoftext", "im_start", "im_end", "object_ref_start", "object_ref_end", "box_start", "box_end"]
SPECIAL += ["quad_start", "quad_end", "vision_start", "vision_end", "vision_pad", "image_pad", "video_pad"]
PLAIN = ["<tool_call>", "</tool_call>", "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>", "<|fim_pad|>"]
PLAIN += ["<|repo_name|>", "<|file_sep|>", "<tool_response>", "</tool_response>", "<think>", "</think>"]


def qwen_tokenizer() -> Qwen2Tokenizer:
    """A copy of the tokenizer, without a chat template; skips the test if the vocabulary cannot be had."""
    return copy.deepcopy(_tokenizer())


@cache
def _tokenizer() -> Qwen2Tokenizer:
    lines = [line.split() for line in _vocabulary_file().splitlines() if line.strip()]
    ranks = {base64.b64decode(token): int(rank) for token, rank in lines}
    letters = _letters()

    def spelt(token: bytes) -> str:
        return "".join(letters[byte] for byte in token)

    pairs = [_last_merge(token, ranks) for token in sorted(ranks, key=ranks.__getitem__) if len(token) > 1]
    tokenizer = Qwen2Tokenizer(
        vocab={spelt(token): rank for token, rank in ranks.items()},
        merges=[(spelt(left), spelt(right)) for left, right in pairs],
        unk_token=None,
        eos_token="<|endoftext|>",
        pad_token="<|endoftext|>",
    )
    added = [AddedToken(f"<|{name}|>", normalized=False, special=True) for name in SPECIAL]
    added += [AddedToken(text, normalized=False, special=False) for text in PLAIN]
    tokenizer.add_tokens(added, special_tokens=False)
    tokenizer.eos_token = "<|im_end|>"
    return tokenizer


def _letters() -> list[str]:
    """The letter that stands for each byte in byte-level BPE: itself if it is printable, else the next from
    U+0100."""
    alphabet = set(ByteLevel.alphabet())
    others = iter(sorted(letter for letter in alphabet if ord(letter) > 255))
    return [chr(byte) if chr(byte) in alphabet else next(others) for byte in range(256)]


def _last_merge(token: bytes, ranks: dict[bytes, int]) -> tuple[bytes, bytes]:
    """The two parts that BPE joins last when it makes this token."""
    parts = [token[place : place + 1] for place in range(len(token))]
    while len(parts) > 2:
        joined = [ranks.get(left + right, len(ranks)) for left, right in pairwise(parts)]
        place = joined.index(min(joined))
        parts[place : place + 2] = [parts[place] + parts[place + 1]]
    return parts[0], parts[1]


def _vocabulary_file() -> bytes:
    try:
        installed = [file for file in files("dashscope") or () if str(file) == FILE]
        return Path(str(installed[0].locate())).read_bytes()
    except PackageNotFoundError:
        pass
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", folder, PACKAGE]
        got = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        wheels = list(Path(folder).glob("dashscope*.whl"))
        if got.returncode or not wheels:
            pytest.skip(f"{PACKAGE}, whose vocabulary this is, cannot be had: {got.stderr.strip()[-200:]}")
        with zipfile.ZipFile(wheels[0]) as wheel:
            return wheel.read(FILE)
