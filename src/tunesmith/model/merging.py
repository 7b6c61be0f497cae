"""An adapter put into the weights that it is on, and the proof that nothing else changed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from tunesmith.data.collate import collate, to_device
from tunesmith.data.example import Example
from tunesmith.errors import ModelError
from tunesmith.model.adapters import has_adapter, quietly
from tunesmith.model.kernels.fp8 import plain_products
from tunesmith.model.loaded import LoadedModel
from tunesmith.model.modules import transformers_model
from tunesmith.model.quantise import dequantised, is_quantised

PROBE_TOKENS = 64


def merge(loaded: LoadedModel) -> LoadedModel:
    """The model with its adapter, if it has one, in its own weights (dequantised first, where they are quantised) and
    no adapter left.

    Raises ModelError if the merged model does not answer as base and adapter did.
    """
    before = probe(loaded)
    merged = replace(loaded, model=_merged(loaded.model))
    merged.model.eval()
    refuse_other_answers(merged, before)
    return merged


def refuse_other_answers(merged: LoadedModel, before: Tensor) -> None:
    """Raise ModelError if the logits of the merged model are further from what `probe` gave of base and adapter than
    rounding takes them."""
    difference = ((probe(merged) - before).norm() / before.norm()).item()
    allowed = 1e-3 if merged.compute == torch.float32 else 5e-2
    if not difference <= allowed:
        raise ModelError(
            f"the merged model answers differently from base and adapter (logits are {difference:.1%} "
            f"apart, at most {allowed:.1%} is rounding). Nothing was written; use the adapter as it is"
        )


def _merged(model: nn.Module) -> nn.Module:
    from peft import get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict

    wrapped: Any = model
    if not has_adapter(model):
        return dequantised(wrapped) if is_quantised(model) else model
    if is_quantised(model):
        config, state = wrapped.peft_config["default"], get_peft_model_state_dict(wrapped)
        plain: Any = dequantised(wrapped.unload())
        with quietly():
            wrapped = get_peft_model(plain, config)
        set_peft_model_state_dict(wrapped, state)
    return wrapped.merge_and_unload(safe_merge=True)  # type: ignore[no-any-return]


@torch.no_grad()
def probe(loaded: LoadedModel) -> Tensor:
    """Logits of a few random tokens, the same for the same vocabulary, on the CPU. Products are those of the weights
    as they are, also where training rounds what is multiplied with them (fp8)."""
    vocabulary = transformers_model(loaded.model).config.get_text_config().vocab_size
    chosen = torch.randint(vocabulary, (PROBE_TOKENS,), generator=torch.Generator().manual_seed(0))
    tokens = chosen.to(torch.int32).numpy()
    batch = collate([Example("probe", tokens, tokens >= 0)])
    was_training = loaded.model.training
    loaded.model.eval()
    with loaded.precision(), plain_products(loaded.model):
        logits = loaded.logits(to_device(batch, loaded.device)).float().cpu()
    loaded.model.train(was_training)
    return logits
