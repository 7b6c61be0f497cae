"""Inputs that a model answers before and after a change which must not alter its answers."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from tunesmith.batching.collator import collate, to_device
from tunesmith.batching.example import Example
from tunesmith.images.picture import Picture
from tunesmith.kernels.modules import own_name, transformers_model
from tunesmith.model.loaded import LoadedModel
from tunesmith.precision.fp8_linear import dequantized_products

PROBE_TOKENS = 64
PICTURE_SIZES = ((120, 90), (70, 200))
"""Width and height of the pictures that are shown: one wide and one tall, of different areas."""


@torch.no_grad()
def probe(loaded: LoadedModel) -> dict[str, Tensor]:
    """Logits (token, vocabulary) on the CPU for random tokens (`text`) and pictures (`pictures`).

    The input is the same for the same vocabulary. Products use the weights as they are, also where training rounds its
    inputs (fp8).
    """
    was_training = loaded.model.training
    loaded.model.eval()
    with _inputs(loaded) as inputs, loaded.precision(), dequantized_products(loaded.model):
        logits = {
            name: loaded.logits(to_device(collate([example]), loaded.device)).float().cpu()
            for name, example in inputs.items()
        }
    loaded.model.train(was_training)
    return logits


@torch.no_grad()
def probe_layers(loaded: LoadedModel, names: Iterable[str]) -> dict[str, Tensor]:
    """Outputs on the CPU of linear layers with their adapters, by full name, for fixed random inputs."""
    modules = {own_name(name): module for name, module in reversed(list(loaded.model.named_modules()))}
    outputs = {}
    with loaded.precision(), dequantized_products(loaded.model):
        for name in names:
            module: Any = modules[name]
            rows = torch.randn(2, module.in_features, generator=torch.Generator().manual_seed(0))
            outputs[name] = module(rows.to(loaded.device, loaded.compute)).float().cpu()
    return outputs


@contextmanager
def _inputs(loaded: LoadedModel) -> Iterator[dict[str, Example]]:
    vocabulary = transformers_model(loaded.model).config.get_text_config().vocab_size
    chosen = torch.randint(vocabulary, (PROBE_TOKENS,), generator=torch.Generator().manual_seed(0))
    tokens = chosen.to(torch.int32).numpy()
    inputs = {"text": Example("probe", tokens, tokens >= 0)}
    if not loaded.family.has_vision:
        yield inputs
        return
    with TemporaryDirectory(prefix="tunesmith-") as folder:
        pictures = [_picture(Path(folder), *size) for size in PICTURE_SIZES]
        example = loaded.family.picture_example("probe", pictures)
        # Every logit is compared, those at the tokens of the pictures too.
        yield inputs | {"pictures": replace(example, trained=example.tokens >= 0)}


def _picture(folder: Path, width: int, height: int) -> Picture:
    """A picture of random pixels in a file of the folder."""
    file = folder / f"{width}x{height}.png"
    Image.fromarray(np.random.default_rng(width).integers(0, 256, (height, width, 3), np.uint8)).save(file)
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    return Picture(file.name, sha256, width, height, "0" * 16, root=folder)
