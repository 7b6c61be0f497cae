"""TRL's SFTTrainer. A model and tokenised samples go in; what it does with them is its own."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from benchmarks.speed.clock import Clock
from benchmarks.speed.engines import Job, NotOfferedError
from benchmarks.speed.engines.loop import TARGETS, pixels, quantised
from benchmarks.speed.weights import drawn
from benchmarks.speed.workloads import Sample
from datasets import Dataset
from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoModelForImageTextToText, AutoTokenizer, TrainerCallback
from trl import SFTConfig, SFTTrainer

ON_GPU = torch.cuda.is_available()


def run(job: Job, clock: Clock) -> None:
    """Train with the settings that TRL's guides recommend for speed, or with its defaults."""
    if job.way.name == "head":
        raise NotOfferedError("SFTTrainer has no classification head")
    auto: Any = AutoModelForImageTextToText if job.work.sees else AutoModelForCausalLM
    with drawn():
        model = auto.from_pretrained(
            job.folder,
            dtype=torch.bfloat16 if ON_GPU and not job.settings.wide else torch.float32,
            attn_implementation="flash_attention_2" if job.settings.flash else "sdpa",
            **quantised(job),
        )
    rank, alpha = job.way.rank(job.work.sees)
    adapter = LoraConfig(r=rank, lora_alpha=alpha, target_modules=TARGETS, task_type="CAUSAL_LM")
    with tempfile.TemporaryDirectory() as folder:
        trainer = SFTTrainer(
            model=model,
            args=SFTConfig(**arguments(job, clock, folder)),
            train_dataset=dataset(job, clock, model.config),
            processing_class=AutoTokenizer.from_pretrained(job.folder),
            peft_config=adapter if job.way.adapts else None,
            callbacks=[callback(clock)],
            data_collator=collator(job, model.config) if job.work.sees else None,
        )
        in_order(trainer)
        trainer.train()


def arguments(job: Job, clock: Clock, folder: str) -> dict[str, Any]:
    """Settings of the trainer."""
    as_it_comes = not job.settings.packed
    size = job.work.samples
    at_once = max(number for number in range(1, 9) if size % number == 0) if as_it_comes else size
    packed = job.settings.packed and not job.work.sees
    best = {
        "gradient_checkpointing": job.settings.checkpointing,
        "use_liger_kernel": ON_GPU,
        "padding_free": packed,
        "dataloader_num_workers": 2 if ON_GPU and not job.work.sees else 0,
    }
    return {
        "output_dir": folder,
        "max_steps": clock.total,
        "per_device_train_batch_size": at_once,
        "gradient_accumulation_steps": size // at_once,
        # Nothing is cut: the longest sample sets the length.
        "max_length": None,
        "learning_rate": 2e-4,
        "lr_scheduler_type": "constant",
        "bf16": ON_GPU,
        "use_cpu": not ON_GPU,
        # Logging waits for the GPU.
        "logging_steps": 10_000,
        "logging_first_step": True,
        "report_to": "none",
        "save_strategy": "no",
        "disable_tqdm": True,
        "seed": 0,
        "dataset_kwargs": {"skip_prepare_dataset": True},
        "remove_unused_columns": False,
    } | ({} if as_it_comes else best)


def dataset(job: Job, clock: Clock, config: Any) -> Any:
    """Rows of token ids and labels; for pictures, rows of numbers by which the collator finds its batch."""
    updates = [job.samples(number, config) for number in range(clock.total)]
    if job.work.sees:
        return Dataset.from_dict(
            {"input_ids": [[0]] * sum(map(len, updates)), "place": list(range(sum(map(len, updates))))}
        )
    rows = [
        {"input_ids": one.tokens.tolist(), "labels": np.where(one.trained, one.tokens, -100).tolist()}
        for samples in updates
        for one in samples
    ]
    return Dataset.from_list(rows)


def collator(job: Job, config: Any) -> Callable[[list[dict[str, Any]]], dict[str, torch.Tensor]]:
    """Batches as the model's processor and TRL's collator make them, ready in memory: no engine pays for reading
    pictures. All samples are of one length, so nothing is padded."""
    ready: dict[tuple[int, ...], dict[str, torch.Tensor]] = {}
    period = job.work.different * job.work.samples
    samples = [one for number in range(job.work.different) for one in job.samples(number, config)]

    def batch_of(chosen: list[Sample]) -> dict[str, torch.Tensor]:
        tokens = torch.from_numpy(np.stack([one.tokens for one in chosen])).long()
        trained = torch.from_numpy(np.stack([one.trained for one in chosen]))
        return {
            "input_ids": tokens,
            "attention_mask": torch.ones_like(tokens),
            "mm_token_type_ids": (tokens == config.image_token_id).long(),
            "labels": torch.where(trained, tokens, -100),
            **pixels(job, chosen),
        }

    def collate(rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        places = tuple(row["place"] % period for row in rows)
        if places not in ready:
            ready[places] = batch_of([samples[place] for place in places])
        return dict(ready[places])

    return collate


def in_order(trainer: Any) -> None:
    """Let the trainer take samples as they stand, so that its updates are those of all engines."""
    from torch.utils.data import SequentialSampler

    trainer._get_train_sampler = lambda dataset=None: SequentialSampler(dataset or trainer.train_dataset)


def callback(clock: Clock) -> Any:
    """What tells the clock of the trainer's updates."""

    class Told(TrainerCallback):
        def on_train_begin(self, *_: Any, model: Any = None, **__: Any) -> None:
            clock.start(model.parameters())

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> Any:
            clock.tick()
            control.should_training_stop |= clock.over
            return control

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
            if logs and "loss" in logs:
                seen = logs.get("num_tokens")
                clock.saw(float(logs["loss"]), None if seen is None else int(float(seen)))

    return Told()
