"""What a hundred lines can do with public pieces: transformers' model, PEFT, PyTorch's variable-length attention handed
to transformers, Liger's kernels, logits only where labels are. Batches are ready in memory."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from benchmarks.speed.clock import Clock
from benchmarks.speed.engines import Job, NotOfferedError
from benchmarks.speed.methods import CLASSES
from benchmarks.speed.weights import drawn
from benchmarks.speed.workloads import Sample, picture_file
from peft import LoraConfig, get_peft_model
from torch import nn
from transformers import AutoModelForCausalLM, AutoModelForImageTextToText, BitsAndBytesConfig

TARGETS = (
    r"(model\.)?(language_model\.)?(layers|visual\.blocks|model\.layers|model\.visual\.blocks)\.\d+\.\w+\."
    "(q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj|qkv|proj)"
)
_ON_GPU = torch.cuda.is_available()
_DEVICE = torch.device("cuda" if _ON_GPU else "cpu")


def run(job: Job, clock: Clock) -> None:
    """Train."""
    model = adapted(job, load(job))
    head = _head(job, model)
    trained = [weight for part in (model, head) if part is not None for weight in part.parameters()]
    trained = [weight for weight in trained if weight.requires_grad]
    if job.way.name != "full":
        for weight in trained:
            weight.data = weight.data.float()
    optimizer = torch.optim.AdamW(trained, lr=2e-4, fused=_ON_GPU)
    model.train()
    batches = [_batch(job, model, number) for number in range(min(clock.total, job.work.different))]
    clock.start(trained)
    for step in range(clock.total):
        batch = batches[step % len(batches)]
        with torch.autocast(_DEVICE.type, dtype=torch.bfloat16, enabled=_ON_GPU):
            loss = _loss(model, head, {name: _there(value) for name, value in batch.items()})
        loss.backward()
        nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        clock.tick(None if step else loss.item(), batch["input_ids"].shape[1])
        if clock.over:
            break


def load(job: Job) -> Any:
    """The model with its plain layers exchanged for Liger's, and with one attention call for the whole line."""
    auto: Any = AutoModelForImageTextToText if job.work.sees else AutoModelForCausalLM
    _register_attention()
    floats = torch.bfloat16 if _ON_GPU else torch.float32
    with drawn():
        model = auto.from_pretrained(job.folder, dtype=floats, **quantised(job))
    for module in model.modules():
        if "config" in vars(module):
            module.config._attn_implementation_internal = "flash_of_torch"
    if _ON_GPU:
        from liger_kernel.transformers import monkey_patch

        patch = getattr(monkey_patch, f"apply_liger_kernel_to_{model.config.model_type}")
        patch(fused_linear_cross_entropy=False, model=model)
    if job.settings.checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    return model


def quantised(job: Job) -> dict[str, Any]:
    """What transformers is told about the precision of frozen weights."""
    if job.way.weights.endswith("fp8"):
        raise NotOfferedError("has no 8-bit floating-point products")
    if job.way.weights != "nf4":
        return {}
    return {
        "quantization_config": BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=torch.bfloat16,
        )
    }


def adapted(job: Job, model: Any) -> Any:
    """The model with adapters, or with all or none of its weights trained."""
    if not job.way.adapts:
        return model.requires_grad_(job.way.name == "full")
    if job.settings.checkpointing:
        model.enable_input_require_grads()
    rank, alpha = job.way.rank(job.work.sees)
    return get_peft_model(model, LoraConfig(r=rank, lora_alpha=alpha, target_modules=TARGETS))


def _head(job: Job, model: Any) -> nn.Module | None:
    if job.way.name != "head":
        return None
    width = model.config.get_text_config().hidden_size
    return nn.Sequential(nn.Linear(width, 1024), nn.GELU(), nn.Linear(1024, CLASSES)).to(_DEVICE)


def _loss(model: Any, head: nn.Module | None, batch: dict[str, Any]) -> torch.Tensor:
    targets = batch.pop("targets")
    if head is None:
        out = model(**batch, use_cache=False)
        return nn.functional.cross_entropy(out.logits[0].float(), targets)
    where, classes = batch.pop("logits_to_keep"), batch.pop("classes")
    del where
    with torch.no_grad():
        hidden = model.model(**batch, use_cache=False).last_hidden_state[0]
    ends = batch["ends"].long()
    sums = torch.segment_reduce(hidden.float(), "sum", offsets=ends)
    return nn.functional.cross_entropy(head(sums / ends.diff()[:, None]).float(), classes)


def _batch(job: Job, model: Any, number: int) -> dict[str, Any]:
    """One update as a single line of tokens."""
    samples = job.samples(number, model.config)
    lengths = [len(one.tokens) for one in samples]
    trained = torch.from_numpy(np.concatenate([one.trained for one in samples])).nonzero().squeeze(1)
    tokens = torch.from_numpy(np.concatenate([one.tokens for one in samples])).long()
    ends = torch.tensor([0, *lengths]).cumsum(0).to(torch.int32)
    batch: dict[str, Any] = {
        "input_ids": tokens[None],
        "position_ids": torch.cat([torch.arange(length) for length in lengths])[None],
        "logits_to_keep": trained - 1,
        "targets": tokens[trained],
        "ends": ends,
        "longest": max(lengths),
    }
    if job.way.name == "head":
        batch["classes"] = torch.tensor([one.of_class for one in samples])
    if job.work.sees:
        seen = pixels(job, samples)
        batch |= seen | {"position_ids": torch.cat(list(_positions(model, samples, seen)), 2)}
    return {
        name: value.pin_memory() if _ON_GPU and torch.is_tensor(value) else value
        for name, value in batch.items()
    }


def pixels(job: Job, samples: list[Sample]) -> dict[str, torch.Tensor]:
    """What the official processor makes of the samples' pictures."""
    from PIL import Image
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    processor = Qwen2VLImageProcessorPil(size={"shortest_edge": 3136, "longest_edge": 2**24})
    opened = [Image.open(picture_file(job.pictures, one.picture or 0)) for one in samples]
    made = processor(opened, return_tensors="pt")
    return {"pixel_values": made["pixel_values"], "image_grid_thw": made["image_grid_thw"]}


def _positions(model: Any, samples: list[Sample], seen: dict[str, torch.Tensor]) -> Iterator[torch.Tensor]:
    """Three axes for each sample, as the model counts them."""
    inner = model.base_model.model.model if "peft" in type(model).__module__ else model.model
    for one, grid in zip(samples, seen["image_grid_thw"], strict=True):
        tokens = torch.from_numpy(one.tokens)[None].long()
        shown = (tokens == model.config.image_token_id).int()
        yield inner.get_rope_index(tokens, mm_token_type_ids=shown, image_grid_thw=grid[None])[0]


def _there(value: Any) -> Any:
    return value.to(_DEVICE, non_blocking=True) if torch.is_tensor(value) else value


def _register_attention() -> None:
    """Give transformers an attention that takes a line of samples, and on a CPU one that does the same slowly."""
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    def attend(
        module: Any,
        q: Any,
        k: Any,
        v: Any,
        attention_mask: Any = None,
        scaling: float | None = None,
        **more: Any,
    ) -> Any:
        causal = module.is_causal
        ends = more["ends"] if causal else more["cu_seq_lens_q"]
        longest = more["longest"] if causal else int(more["max_length_q"])
        if not _ON_GPU:
            return _one_by_one(q, k, v, ends.tolist(), causal, scaling), None
        from torch.nn.attention.varlen import varlen_attn

        # Before it had the argument, it shared heads without being told.
        knows = "enable_gqa" in inspect.signature(varlen_attn).parameters
        shared = {"enable_gqa": q.shape[1] != k.shape[1]} if knows else {}
        q, k, v = (one[0].transpose(0, 1).to(torch.bfloat16) for one in (q, k, v))
        window = (-1, 0) if causal else (-1, -1)
        out = varlen_attn(q, k, v, ends, ends, longest, longest, scale=scaling, window_size=window, **shared)
        return out[None], None

    ALL_ATTENTION_FUNCTIONS.register("flash_of_torch", attend)


def _one_by_one(q: Any, k: Any, v: Any, ends: list[int], causal: bool, scale: float | None) -> torch.Tensor:
    pieces = [
        nn.functional.scaled_dot_product_attention(
            *(one[:, :, begin:end] for one in (q, k, v)),
            is_causal=causal,
            scale=scale,
            enable_gqa=q.shape[1] != k.shape[1],
        )
        for begin, end in pairwise(ends)
    ]
    return torch.cat(pieces, 2).transpose(1, 2)
