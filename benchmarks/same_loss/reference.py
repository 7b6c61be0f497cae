"""The loop that everything is held to: transformers' model in fp32, PEFT's layers, PyTorch's AdamW, nothing packed and
nothing padded. It takes weights to begin with, and batches, from the product; no code of it runs while it trains."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

import numpy as np
import torch
from benchmarks.same_loss.material import Material
from benchmarks.same_loss.settings import (
    ALPHA,
    CLIP,
    DECAY,
    EXAMPLES,
    HIDDEN,
    RANK,
    WARMUP,
    Job,
    Reference,
)
from torch import nn
from torch.nn import functional

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
UNTRAINED = -100


def run(job: Job) -> dict[str, Any]:
    """Losses of every update, and held-out losses before and after."""
    assert isinstance(job.what, Reference)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    material = Material.read(job.material, job.what.material)
    model, head = _model(job), _head(job, material.num_classes)
    weights = [weight for part in (model, head) if part is not None for weight in part.parameters()]
    weights = [weight for weight in weights if weight.requires_grad]
    optimizer = torch.optim.AdamW(
        [
            {"params": [weight for weight in weights if weight.ndim > 1], "weight_decay": DECAY},
            {"params": [weight for weight in weights if weight.ndim == 1], "weight_decay": 0.0},
        ],
        lr=job.rate,
    )
    before = _held_out(model, head, material.held_out)
    losses = _trained(job, model, head, material.trained, optimizer)
    return {"losses": losses, "before": before, "after": _held_out(model, head, material.held_out)}


def _trained(
    job: Job, model: Any, head: nn.Module | None, order: Sequence[Any], optimizer: torch.optim.Optimizer
) -> list[float]:
    """Losses of every update."""
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    model.train()
    losses = []
    for step in range(job.steps):
        examples = order[step * EXAMPLES :][:EXAMPLES]
        counted = sum(map(_counted, examples))
        nats = 0.0
        for alike in _of_one_length(examples):
            loss = _nats(model, head, alike) / counted
            loss.backward()
            nats += loss.item()
        nn.utils.clip_grad_norm_(weights, CLIP)
        for group in optimizer.param_groups:
            group["lr"] = job.rate * _share_of_peak(step, job.steps)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(nats)
    return losses


def _share_of_peak(step: int, steps: int) -> float:
    """Up in a straight line over the first tenth, then down in half a cosine."""
    rising = math.ceil(WARMUP * steps)
    if step < rising:
        return (step + 1) / (rising + 1)
    return (1 + math.cos(math.pi * (step - rising) / (steps - rising))) / 2


def _of_one_length(examples: Sequence[Any]) -> Iterator[list[Any]]:
    for _, alike in groupby(sorted(examples, key=len), key=len):
        yield list(alike)


def _counted(example: Any) -> int:
    """What the loss is divided by: trained tokens, or one for each example with a class."""
    return 1 if example.classes is not None else int(example.trained[1:].sum())


def _nats(model: Any, head: nn.Module | None, examples: Sequence[Any]) -> torch.Tensor:
    """Sum of the losses of examples that are of one length."""
    tokens = torch.from_numpy(np.stack([one.tokens for one in examples])).long().to(DEVICE)
    if head is not None:
        states = model.get_base_model() if "peft" in type(model).__module__ else model
        hidden = states.model(input_ids=tokens, use_cache=False).last_hidden_state
        classes = torch.tensor([one.classes[0] for one in examples], device=DEVICE)
        return functional.cross_entropy(head(hidden.mean(1)), classes, reduction="sum")
    trained = torch.from_numpy(np.stack([one.trained for one in examples])).to(DEVICE)
    targets = tokens.masked_fill(~trained, UNTRAINED)
    # Left after every pass: within, weights are cast to 16 bits but once.
    with torch.autocast(DEVICE.type, torch.bfloat16, enabled=model.dtype == torch.bfloat16):
        logits = model(input_ids=tokens, use_cache=False, **_pixels(model, tokens, examples)).logits
    return functional.cross_entropy(
        logits[:, :-1].flatten(0, 1).float(),
        targets[:, 1:].flatten(),
        ignore_index=UNTRAINED,
        reduction="sum",
    )


def _pixels(model: Any, tokens: torch.Tensor, examples: Sequence[Any]) -> dict[str, torch.Tensor]:
    """The pictures as the official processor makes them."""
    files = [placed.picture.root / placed.picture.path for one in examples for placed in one.pictures]
    if not files:
        return {}
    from PIL import Image
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    processor = Qwen2VLImageProcessorPil(size={"shortest_edge": 1, "longest_edge": 2**24})
    made = processor([Image.open(file) for file in files], return_tensors="pt")
    return {
        "pixel_values": made["pixel_values"].to(DEVICE),
        "image_grid_thw": made["image_grid_thw"].to(DEVICE),
        "mm_token_type_ids": (tokens == model.config.image_token_id).int(),
    }


@torch.no_grad()
def _held_out(model: Any, head: nn.Module | None, examples: Sequence[Any]) -> float:
    model.eval()
    nats = sum(_nats(model, head, alike).item() for alike in _of_one_length(examples))
    return nats / sum(map(_counted, examples))


def _model(job: Job) -> Any:
    """The model in fp32, trained in whole, with adapters, or not at all."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, AutoModelForImageTextToText

    auto: Any = AutoModelForImageTextToText if job.what.sees else AutoModelForCausalLM
    floats = torch.bfloat16 if job.what.compute == "bf16" else torch.float32  # type: ignore[union-attr]
    model = auto.from_pretrained(job.model, dtype=floats, attn_implementation="sdpa").to(DEVICE)
    if job.what.weights != "fp32":
        _take_dequantised(model, job)
    model.requires_grad_(job.what.method == "full")
    if "lora" not in job.what.method:
        return model
    start = {name: weight for name, weight in torch.load(job.start).items() if ".lora_" in name}
    targets = sorted({name.partition(".lora_")[0] for name in start})
    with warnings.catch_warnings():
        # PEFT 0.21 asks transformers for a property that transformers 5.23 deprecates.
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
        wrapped = get_peft_model(model, LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules=targets))
    _copy({name: weight for name, weight in wrapped.named_parameters() if ".lora_" in name},
          {f"base_model.model.{name}": weight for name, weight in start.items()})  # fmt: skip
    return wrapped


def _head(job: Job, num_classes: int) -> nn.Module | None:
    """Two layers on the mean of the hidden states."""
    if not num_classes:
        return None
    start = {name: weight for name, weight in torch.load(job.start).items() if name.startswith("head.")}
    width = start["head.layers.0.weight"].shape[1]
    head = nn.Sequential(nn.Linear(width, HIDDEN), nn.GELU(), nn.Linear(HIDDEN, num_classes)).to(DEVICE)
    number = {"head.layers.0": "0", "head.layers.1": "2"}
    renamed = {f"{number[name.rpartition('.')[0]]}.{name.rpartition('.')[2]}": weight
               for name, weight in start.items()}  # fmt: skip
    _copy(dict(head.named_parameters()), renamed)
    return head


def _take_dequantised(model: nn.Module, job: Job) -> None:
    """Put into the plain model what the product's quantised one multiplies with."""
    from tunesmith.config.experiment import Model
    from tunesmith.model.load import load
    from tunesmith.precision.fp8_linear import Fp8Linear

    quantised = load(Model.model_validate({"path": str(job.model), "weights": job.what.weights})).model
    found = dict(quantised.named_parameters())
    for name, module in quantised.named_modules():
        if isinstance(module, Fp8Linear):
            found[f"{name}.weight"] = module.dequantized(torch.float32)
        elif type(module).__name__ == "Linear4bit":
            from bitsandbytes.functional import dequantize_4bit

            found[f"{name}.weight"] = dequantize_4bit(module.weight, module.weight.quant_state)
    _copy(dict(model.named_parameters()), found)


@torch.no_grad()
def _copy(weights: dict[str, Any], values: dict[str, torch.Tensor]) -> None:
    assert weights.keys() == values.keys(), weights.keys() ^ values.keys()
    for name, weight in weights.items():
        weight.copy_(values[name])
