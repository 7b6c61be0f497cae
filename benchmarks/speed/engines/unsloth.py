"""Unsloth's models in TRL's SFTTrainer, which it changes when it is imported: so that comes first."""

from __future__ import annotations

import unsloth  # isort: skip

import tempfile
from typing import Any

from benchmarks.speed.clock import Clock
from benchmarks.speed.engines import Job, NotOfferedError
from benchmarks.speed.engines import trl as of_trl
from benchmarks.speed.weights import drawn
from trl import SFTConfig, SFTTrainer


def run(job: Job, clock: Clock) -> None:
    """Train with the settings of Unsloth's own notebooks, and packed."""
    if job.way.name == "head":
        raise NotOfferedError("its SFTTrainer has no classification head")
    if job.way.weights == "nf4-fp8":
        raise NotOfferedError("its products with 4-bit weights are in 16 bits")
    if job.way.weights == "fp8":
        raise NotOfferedError("its fp8 needs weights that were quantised before, which random ones are not")
    loader: Any = unsloth.FastVisionModel if job.work.sees else unsloth.FastLanguageModel
    checkpointing = "unsloth" if job.settings.checkpointing else False
    longest = max(2048, job.work.longest)
    with drawn():
        model, words = loader.from_pretrained(
            str(job.folder),
            max_seq_length=longest,
            load_in_4bit=job.way.weights == "nf4",
            full_finetuning=job.way.name == "full",
            use_gradient_checkpointing=checkpointing,
            local_files_only=True,
        )
    words = words.tokenizer if "tokenizer" in vars(words) else words
    if job.way.adapts:
        model = loader.get_peft_model(model, use_gradient_checkpointing=checkpointing, **_adapter(job))
    loader.for_training(model)
    with tempfile.TemporaryDirectory() as folder:
        arguments = of_trl.arguments(job, clock, folder)
        # It brings kernels of its own.
        arguments |= {"use_liger_kernel": False, "gradient_checkpointing": job.settings.checkpointing}
        if not job.work.sees:
            # It pads rows again unless it may see for itself that none is too long.
            arguments |= {"dataset_kwargs": None, "max_length": longest}
        trainer = SFTTrainer(
            model=model,
            args=SFTConfig(**arguments),
            train_dataset=of_trl.dataset(job, clock, model.config),
            processing_class=words,
            callbacks=[of_trl.callback(clock)],
            data_collator=of_trl.collator(job, model.config) if job.work.sees else None,
        )
        of_trl.in_order(trainer)
        trainer.train()


def _adapter(job: Job) -> dict[str, Any]:
    rank, alpha = job.way.rank(job.work.sees)
    settings = {"r": rank, "lora_alpha": alpha, "lora_dropout": 0, "bias": "none", "random_state": 0}
    if job.work.sees:
        parts = ("vision_layers", "language_layers", "attention_modules", "mlp_modules")
        return settings | {f"finetune_{part}": True for part in parts}
    names = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    return settings | {"target_modules": names}
