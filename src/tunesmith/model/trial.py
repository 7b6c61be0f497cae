"""The trial of an architecture that no family describes: packed batches must give what transformers gives.

A tiny random model of the config's own class is run twice: several examples in one packed line, as training runs it,
and one example at a time by transformers' eager attention. Examples are longer than the attention windows, and some
continue a shared prefix.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch._subclasses.fake_tensor import unset_fake_temporarily
from transformers import AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel
from transformers.utils import logging

from tunesmith.batching.batch import Batch, Segments
from tunesmith.errors import ModelError
from tunesmith.kernels.attention import packed
from tunesmith.model.families import FOR_TEXT, Family
from tunesmith.model.reading import first_line
from tunesmith.model.tiny_config import tiny_config

LENGTHS, CONTINUES = [37, 11, 20, 9, 6], [-1, -1, -1, 2, 2]
"""Tokens of each segment of the packed line, and which earlier segment it continues."""
TOLERANCE = 1e-3
"""Largest difference of two logits, as a share of the standard deviation of all, that is taken for rounding."""
NOISE = 0.2
HALF = LENGTHS[0] // 2
INSTEAD = f"Use another model, such as {FOR_TEXT}"

_verdicts: dict[tuple[type, str], str] = {}
"""What is wrong with an architecture, or nothing, by family and config: it is tried once in a process."""


def refuse_inexact(family: Family, allow_remote_code: bool = False) -> None:
    """Raise ModelError if packed batches of the family's architecture differ from transformers, or if that cannot be
    tried."""
    if family.is_verified:
        return
    key = type(family), family.config.to_json_string()
    if key not in _verdicts:
        # The caller may be in a forecast, whose tensors have no data.
        with unset_fake_temporarily(), torch.device("cpu"), torch.random.fork_rng(devices=[]), _quiet():
            torch.default_generator.manual_seed(0)
            _verdicts[key] = _verdict(family, allow_remote_code)
    if _verdicts[key]:
        raise ModelError(_verdicts[key])


@torch.no_grad()
def _verdict(family: Family, allow_remote_code: bool) -> str:
    """The message that refuses models like this one; empty if they can be trained exactly."""
    what = f"model.path: models of type {family.config.model_type}"
    try:
        model = _tiny_model(family.config, allow_remote_code)
        tokens = torch.randint(model.config.get_text_config().vocab_size, (sum(LENGTHS),))
        expected = _one_by_one(model, tokens)
        looks_ahead = _difference(_plain_logits(model, tokens[:HALF]), expected[:HALF]) > TOLERANCE
    # The code of any architecture runs here, in sizes that it was not written for.
    except Exception as error:
        return (
            f"{what} are not supported: whether packed batches give the loss of each example alone cannot be tried, "
            f"because a tiny model of this architecture does not run ({first_line(error)}). {INSTEAD}"
        )
    if not expected.isfinite().all():
        return f"{what} are not supported: a tiny random model of this architecture gives no finite logits. {INSTEAD}"
    if looks_ahead:
        return f"{what} are not causal language models: what they predict depends on later tokens. {INSTEAD}"
    try:
        packed.use(model, "sdpa")
        family.post_load(model)
        together = family.logits(model, _batch(tokens, LENGTHS, CONTINUES))
        alone = family.logits(model, _batch(tokens[: LENGTHS[0]], LENGTHS[:1], CONTINUES[:1]))
    except ModelError as error:
        return f"{error}, such as {FOR_TEXT}"
    except Exception as error:
        return f"{what} are not supported: packed batches do not run through them ({first_line(error)}). {INSTEAD}"
    return _what_differs(what, together, alone, expected)


def _what_differs(what: str, together: Tensor, alone: Tensor, expected: Tensor) -> str:
    """What is wrong with the logits of a packed line, given those of its first example alone and transformers'."""
    if (difference := _difference(alone, expected[: len(alone)])) > TOLERANCE:
        return (
            f"{what} make attention masks of their own (such as a window shorter than the example), which packed "
            f"batches would ignore: logits differ from those of transformers by up to {difference:.2g} standard "
            f"deviations. {INSTEAD}"
        )
    if (difference := _difference(together, expected)) > TOLERANCE:
        return (
            f"{what} mix examples that are packed together: logits differ from those of each example alone by up to "
            f"{difference:.2g} standard deviations. {INSTEAD}"
        )
    return ""


def _difference(logits: Tensor, expected: Tensor) -> float:
    """Largest difference, in standard deviations of what is expected; infinite where a logit is not finite."""
    largest = float((logits - expected).abs().max() / expected.std())
    return largest if math.isfinite(largest) else math.inf


def _tiny_model(config: PreTrainedConfig, allow_remote_code: bool) -> PreTrainedModel:
    """A random model of the config's class, all of whose weights matter."""
    model: PreTrainedModel = AutoModelForCausalLM.from_config(
        tiny_config(config),
        dtype=torch.float32,
        attn_implementation="eager",
        trust_remote_code=allow_remote_code,
    )
    for weight in model.parameters():
        if weight.dim() > 1:
            weight.normal_(std=NOISE)
        else:
            weight.add_(torch.randn_like(weight), alpha=NOISE)
    return model.eval()


def _plain_logits(model: Any, tokens: Int[Tensor, " token"]) -> Float[Tensor, "token vocabulary"]:
    """The logits of one text, as transformers computes them."""
    return model(input_ids=tokens[None], use_cache=False).logits[0]  # type: ignore[no-any-return]


def _one_by_one(model: PreTrainedModel, tokens: Int[Tensor, " token"]) -> Float[Tensor, "token vocabulary"]:
    """The logits of all segments, each run by itself after what it continues."""
    pieces = tokens.split(LENGTHS)
    texts = [
        piece if parent < 0 else torch.cat([pieces[parent], piece])
        for piece, parent in zip(pieces, CONTINUES, strict=True)
    ]
    logits = [_plain_logits(model, text)[-length:] for text, length in zip(texts, LENGTHS, strict=True)]
    return torch.cat(logits)


def _batch(tokens: Int[Tensor, " token"], lengths: list[int], continues: list[int]) -> Batch:
    """One packed line that predicts at every token."""
    starts = [0 if parent < 0 else lengths[parent] for parent in continues]
    positions = [torch.arange(start, start + length) for start, length in zip(starts, lengths, strict=True)]
    every = torch.arange(len(tokens))
    return Batch(tokens, torch.cat(positions)[None], every, tokens, Segments.end_to_end(lengths, continues))


@contextmanager
def _quiet() -> Iterator[None]:
    """Within it transformers says nothing: what it warns of are the sizes of the tiny model."""
    level = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(level)
