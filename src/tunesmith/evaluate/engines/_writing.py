"""Greedy writing of several answers at once, by transformers' own generation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from transformers import GenerationConfig, PreTrainedModel

from tunesmith.batching.example import Example
from tunesmith.evaluate.engines._inference import inference
from tunesmith.kernels.attention.packed import for_generation
from tunesmith.kernels.modules import transformers_model
from tunesmith.model.loaded import LoadedModel


def write(loaded: LoadedModel, prompts: Sequence[Example], max_new_tokens: int) -> list[list[int]]:
    """The tokens that the model writes after each prompt, up to the one that ends the answer, if it came."""
    stops = list(loaded.family.stop_tokens)
    pad = stops[0]
    longest = max(len(prompt) for prompt in prompts)
    tokens = torch.full((len(prompts), longest), pad)
    mask = torch.zeros_like(tokens)
    for row, prompt in enumerate(prompts):
        tokens[row, longest - len(prompt) :] = torch.from_numpy(prompt.tokens.astype(np.int64))
        mask[row, longest - len(prompt) :] = 1
    inner = transformers_model(loaded.model)
    settings = GenerationConfig(
        do_sample=False, max_new_tokens=max_new_tokens, eos_token_id=stops, pad_token_id=pad, use_cache=True
    )
    with inference(loaded), for_generation(loaded.model), _settings_of(inner, settings):
        written = inner.generate(  # type: ignore[operator]
            tokens.to(loaded.device),
            attention_mask=mask.to(loaded.device),
            **loaded.family.for_generation(prompts, loaded.device),
        )
    return [_until(stops, row) for row in written[:, longest:].tolist()]


@contextmanager
def _settings_of(model: PreTrainedModel, settings: GenerationConfig) -> Iterator[None]:
    """Within it the model writes by these settings alone. Handed to `generate`, their gaps would be filled
    with what the model's own files say of sampling."""
    own = model.generation_config
    model.generation_config = settings
    try:
        yield
    finally:
        model.generation_config = own


def _until(stops: Sequence[int], tokens: list[int]) -> list[int]:
    end = next((place for place, token in enumerate(tokens) if token in stops), len(tokens))
    return tokens[: end + 1]
