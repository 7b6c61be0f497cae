"""Random weights in place of files: the same for every engine, and there in a second."""

from __future__ import annotations

import copy
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn


@contextmanager
def drawn() -> Iterator[None]:
    """Within it `from_pretrained` of transformers draws weights on the device instead of reading 15 GB from a disk.

    All else that an engine does when it loads a model it does here too. Each weight depends on its name alone, so that
    engines that build their layers in another order train the same model.
    """
    from transformers import PreTrainedModel

    theirs = vars(PreTrainedModel)["from_pretrained"]
    PreTrainedModel.from_pretrained = classmethod(_from_nothing)  # type: ignore[assignment]
    try:
        yield
    finally:
        PreTrainedModel.from_pretrained = theirs  # type: ignore[assignment]


def _from_nothing(
    cls: Any,
    name: str,
    *_: Any,
    config: Any = None,
    dtype: Any = None,
    torch_dtype: Any = None,
    quantization_config: Any = None,
    attn_implementation: Any = None,
    output_loading_info: bool = False,
    **__: Any,
) -> Any:
    from transformers import AutoConfig

    config = copy.deepcopy(config if config is not None else AutoConfig.from_pretrained(name))
    dtype = dtype or torch_dtype or torch.float32
    dtype = dtype if isinstance(dtype, torch.dtype) else getattr(torch, dtype)
    extras = {} if attn_implementation is None else {"attn_implementation": attn_implementation}
    with torch.device(_device()):
        model = cls._from_config(config, dtype=dtype, **extras)
    fill(model)
    model.name_or_path = model.config.name_or_path = str(name)
    if quantization_config is not None:
        _quantise(model, quantization_config)
    model.eval()
    if not output_loading_info:
        return model
    return model, {"missing_keys": [], "unexpected_keys": [], "mismatched_keys": [], "error_msgs": []}


def _device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@torch.no_grad()
def fill(model: nn.Module) -> None:
    """Draw all weights, those of products so that numbers keep their size, those of norms near 1. Rounded to bf16, they
    are equal in either precision."""
    for name, weight in model.named_parameters():
        random = torch.Generator(weight.device).manual_seed(zlib.crc32(name.encode()))
        values = torch.randn(weight.shape, generator=random, device=weight.device)
        values *= 0.02 if weight.ndim == 1 else (weight[0].numel()) ** -0.5
        weight.copy_((values + 1 if "norm" in name and name.endswith("weight") else values).bfloat16())


def _quantise(model: Any, settings: Any) -> None:
    """Put bitsandbytes' 4-bit layers in the place of linear ones, and mark the model as transformers does."""
    import bitsandbytes
    from transformers.quantizers.auto import AutoHfQuantizer

    kept = tuple(settings.llm_int8_skip_modules or ["lm_head"])
    for name, module in list(model.named_modules()):
        if type(module) is not nn.Linear or any(part in name for part in (*kept, "lm_head")):
            continue
        layer = bitsandbytes.nn.Linear4bit(
            module.in_features,
            module.out_features,
            module.bias is not None,
            compute_dtype=settings.bnb_4bit_compute_dtype,
            compress_statistics=settings.bnb_4bit_use_double_quant,
            quant_type=settings.bnb_4bit_quant_type,
            device="meta",
        )
        device = module.weight.device
        layer.weight = bitsandbytes.nn.Params4bit(
            module.weight.data,
            requires_grad=False,
            compress_statistics=settings.bnb_4bit_use_double_quant,
            quant_type=settings.bnb_4bit_quant_type,
            module=layer,
        ).to(device)
        layer.bias = module.bias
        parent, _, own = name.rpartition(".")
        setattr(model.get_submodule(parent), own, layer)
    model.config.quantization_config = settings
    model.hf_quantizer = AutoHfQuantizer.from_config(settings)
    model.is_quantized = model.is_loaded_in_4bit = True
    model.quantization_method = settings.quant_method
    if _device().type == "cuda":
        torch.cuda.empty_cache()


def counted(config: Any) -> dict[str, int]:
    """Number of weights of the language part and of the vision tower of a model with this config."""
    from transformers import AutoModelForCausalLM, AutoModelForImageTextToText

    auto: Any = AutoModelForImageTextToText if "vision_config" in config.to_dict() else AutoModelForCausalLM
    with torch.device("meta"):
        model = auto.from_config(config)
    sizes = {name: weight.numel() for name, weight in model.named_parameters()}
    vision = sum(size for name, size in sizes.items() if ".visual." in name)
    return {"language": sum(sizes.values()) - vision, "vision": vision}
