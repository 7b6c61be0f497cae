"""Memory and time of the product's own loop on real shapes, beside what `tunesmith audit` forecasts of them.

    python -m benchmarks.memory [--cases NAME ...] [--seconds 150] [--write benchmarks/memory/h200.json] [--small]

Random weights, made on the GPU; the real loop, optimizer and input pipeline. Of every case: the forecast, the peak that
PyTorch allocated and reserved over three updates after two to warm up, and seconds an update. What fails prints a line
and the others go on. The record is what `tests/forecast/test_memory.py` holds the forecast to. Needs a GPU with 141 GB
for all cases (those that do not fit fail); `--small` runs toys on anything.
"""

from __future__ import annotations

import argparse
import gc
import hashlib
import json
import multiprocessing
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from benchmarks.speed import shapes, workloads
from benchmarks.speed.weights import drawn
from benchmarks.toy import tokenizer
from transformers import __version__

from tunesmith.batching.example import Example
from tunesmith.config.experiment import Loss as LossSettings
from tunesmith.config.experiment import Model, Optimizer, Pixels
from tunesmith.config.head import Head
from tunesmith.forecast.fake_model import Machine, build_fake_model
from tunesmith.forecast.memory import BatchShape, Forecast, forecast
from tunesmith.forecast.time import matrix_rate
from tunesmith.images.picture import Picture
from tunesmith.kernels.fusion.patch import apply_fused_layers
from tunesmith.methods import Method
from tunesmith.methods.full import Full
from tunesmith.methods.lora import Lora
from tunesmith.model.checkpointing import Level, checkpoint
from tunesmith.model.families import Family
from tunesmith.model.families import family_of as family_of_type
from tunesmith.model.families._image_processor import ImageProcessorConfig
from tunesmith.model.families.qwen2_5_vl import Qwen25Vl
from tunesmith.model.heads import hidden_width, new_head
from tunesmith.model.load import load
from tunesmith.model.loaded import LoadedModel
from tunesmith.model.trainable import Trainable, make_trainable
from tunesmith.train.batch_plan import BatchPlan
from tunesmith.train.examples import Examples
from tunesmith.train.fit import fit
from tunesmith.train.loss import ClassLoss, Loss, answer_loss
from tunesmith.train.optimizer import build_optimizer

TEXT, ANSWER, CLASSES = 128, 10, 30
"""Tokens of a text example, how many of them are trained, and classes of a head."""
WARMUP, MEASURED = 2, 3
GIB = 2**30


@dataclass(frozen=True)
class Case:
    """One thing to train."""

    name: str
    shape: str
    """Of `shapes.MODELS`, or a toy."""
    method: str
    """Of `METHODS`."""
    checkpointing: Level
    examples: int
    """In one micro-batch: of 128 tokens, or of a picture of 512x512 and about 50 tokens."""
    weights: str = "bf16"
    micro_batches: int = 1

    @property
    def built(self) -> tuple[str, str, str]:
        """Cases alike in this share a model."""
        return self.shape, self.weights, self.method


METHODS: dict[str, Mapping[str, Method]] = {
    "lora": {"language": Lora(rank=16)},
    "full": {"language": Full()},
    "head": {"head": Full()},
    "lora-both": {"vision": Lora(rank=64, alpha=16), "language": Lora(rank=64, alpha=16)},
    "lora-language": {"language": Lora(rank=64, alpha=16)},
}
CASES = [
    Case("0.6b-lora", "qwen3-0.6b", "lora", "none", 64),
    Case("0.6b-lora-16k", "qwen3-0.6b", "lora", "none", 128),
    Case("0.6b-lora-full", "qwen3-0.6b", "lora", "full", 128),
    Case("0.6b-full", "qwen3-0.6b", "full", "none", 64),
    Case("0.6b-full-full", "qwen3-0.6b", "full", "full", 64),
    Case("1.5b-lora", "qwen2.5-1.5b", "lora", "none", 64),
    Case("1.5b-full", "qwen2.5-1.5b", "full", "none", 32, micro_batches=2),
    Case("1.5b-full-full", "qwen2.5-1.5b", "full", "full", 64),
    Case("7b-head", "qwen2.5-7b", "head", "none", 64),
    Case("7b-lora", "qwen2.5-7b", "lora", "none", 32),
    Case("7b-lora-8k", "qwen2.5-7b", "lora", "none", 64),
    Case("7b-lora-selective", "qwen2.5-7b", "lora", "selective", 64),
    Case("7b-lora-full", "qwen2.5-7b", "lora", "full", 64),
    Case("7b-lora-full-16k", "qwen2.5-7b", "lora", "full", 128),
    Case("7b-lora-offload-16k", "qwen2.5-7b", "lora", "offload", 128),
    Case("7b-nf4", "qwen2.5-7b", "lora", "none", 32, weights="nf4"),
    Case("7b-nf4-full", "qwen2.5-7b", "lora", "full", 64, weights="nf4"),
    Case("7b-nf4-offload-32k", "qwen2.5-7b", "lora", "offload", 256, weights="nf4"),
    Case("7b-nf4-fp8-full", "qwen2.5-7b", "lora", "full", 64, weights="nf4-fp8"),
    Case("7b-fp8", "qwen2.5-7b", "lora", "none", 64, weights="fp8"),
    Case("vl-lora", "qwen2.5-vl-7b", "lora-both", "none", 8),
    Case("vl-lora-full", "qwen2.5-vl-7b", "lora-both", "full", 16),
    Case("vl-lora-offload", "qwen2.5-vl-7b", "lora-both", "offload", 16),
    Case("vl-frozen", "qwen2.5-vl-7b", "lora-language", "none", 16),
    Case("vl-frozen-full", "qwen2.5-vl-7b", "lora-language", "full", 16),
    Case("7b-full", "qwen2.5-7b", "full", "full", 16),
    Case("7b-full-8k", "qwen2.5-7b", "full", "none", 64),
]
SMALL = [
    Case("toy-lora", "toy", "lora", "none", 4),
    Case("toy-full", "toy", "full", "full", 4, micro_batches=2),
    Case("toy-head", "toy", "head", "none", 4),
    Case("toy-vl", "toy-vl", "lora-both", "none", 2),
]


def is_toy(shape: str) -> bool:
    """Whether it is a toy."""
    return shape.startswith("toy")


def sees(shape: str) -> bool:
    """Whether the model sees."""
    return "-vl" in shape


def work_of(shape: str, number: int) -> workloads.Workload:
    """So many pictures with a question each."""
    work = workloads.of("one-picture", is_toy(shape))
    return replace(work, samples=number, text_tokens=number * work.shortest, different=1)


def family_of(shape: str) -> Family:
    """A family around a small vocabulary."""
    words, small = tokenizer(), is_toy(shape)
    if not sees(shape):
        model = "qwen2.5-7b" if small else shape
        config = shapes.config_of(model, words, small)
        return family_of_type(config.model_type)(words, config)
    side = work_of(shape, 1).side
    image_processor = ImageProcessorConfig.from_file(Pixels(size=(side, side)), shapes.PICTURES)
    return Qwen25Vl(words, shapes.config_of(shapes.SEEING, words, small), image_processor=image_processor)


def model_of(case: Case, device: torch.device, folder: Path) -> LoadedModel:
    """Random weights in the case's precision, loaded as for training."""
    small = is_toy(case.shape)
    name = shapes.SEEING if sees(case.shape) else "qwen2.5-7b" if small else case.shape
    shapes.write_folder(folder, name, small)
    side = work_of(case.shape, 1).side
    weights = case.weights if device.type == "cuda" else "fp32"
    pixels = {"pixels": {"size": [side, side]}} if sees(case.shape) else {}
    with drawn():
        loaded = load(Model.model_validate({"path": str(folder), "weights": weights, **pixels}))
    if case.method == "head":
        loaded.head = new_head(Head(), labels(), hidden_width(loaded.family.config), 0, device)
    return loaded


def labels() -> tuple[str, ...]:
    """Names of the classes of a head."""
    return tuple(f"class {number}" for number in range(CLASSES))


def examples_of(case: Case, family: Family, folder: Path) -> Examples:
    """As many random examples as an update has."""
    number = case.examples * case.micro_batches
    random = np.random.default_rng(0)
    made = []
    if not family.has_vision:
        for index in range(number):
            trained = np.arange(TEXT) >= (TEXT if case.method == "head" else TEXT - ANSWER)
            classes = (index % CLASSES,) if case.method == "head" else None
            made.append(
                Example(f"t:{index}", random.integers(10, 1000, TEXT).astype(np.int32), trained, classes)
            )
        return Examples(made)
    assert family.image_processor is not None
    work = work_of(case.shape, number)
    workloads.write_pictures(folder, work)
    for index, sample in enumerate(workloads.update(work, 0, family.config)):
        path = workloads.picture_file(folder, index)
        known = Picture(
            path.name, hashlib.sha256(path.read_bytes()).hexdigest(), work.side, work.side, "", root=folder
        )
        placed = family.image_processor.place("p", known, 2)
        made.append(Example(f"p:{index}", sample.tokens, sample.trained, pictures=(placed,)))
    return Examples(made)


def shape_of(case: Case, family: Family) -> BatchShape:
    """The shape of one micro-batch."""
    number = case.examples
    if family.image_processor is None:
        return BatchShape((TEXT,) * number, 0 if case.method == "head" else ANSWER * number)
    work = work_of(case.shape, 1)
    placed = family.image_processor.place("p", Picture("p", "", work.side, work.side, ""), 2)
    (sample,) = workloads.update(work, 0, family.config)
    return BatchShape(
        (len(sample.tokens),) * number, int(sample.trained.sum()) * number, (placed.grid,) * number
    )


def loss_of(case: Case) -> Loss:
    """What is made small."""
    return ClassLoss(LossSettings()) if case.method == "head" else answer_loss


def forecast_of(case: Case, machine: Machine, weights: str) -> Forecast:
    """What the audit would say of the case; `weights` is their precision."""
    family = family_of(case.shape)
    head = (Head(), labels()) if case.method == "head" else None
    made = build_fake_model(
        family, dict.fromkeys(family.prefixes, weights), METHODS[case.method], machine, head
    )
    shape, loss = shape_of(case, family), loss_of(case)
    return forecast(made, shape, loss, Optimizer(), case.checkpointing, case.micro_batches)


def keep_off_gpu() -> None:
    """What a process that forecasts begins with."""
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    torch.set_num_threads(1)


def measure(case: Case, trainable: Trainable, examples: Examples) -> dict[str, float]:
    """Peak bytes and median seconds of an update, by the product's own loop."""
    device, settings = trainable.loaded.device, Optimizer()
    if trainable.loaded.kernels == "fused":
        # Anew, so that graphs of the case before do not lie beside it.
        loaded = trainable.loaded
        cuda_graphs = loaded.cuda_graphs and not loaded.family.has_vision
        apply_fused_layers(loaded.model, loaded.family, loaded.compute, cuda_graphs)
    checkpoint(trainable.loaded.model, case.checkpointing)
    tokens = sum(examples.length(index) for index in range(case.examples))
    size = case.examples * case.micro_batches
    updates = BatchPlan("benchmark", examples, size, tokens, WARMUP + MEASURED, 0, workers=8)
    optimizer = build_optimizer(trainable.groups, settings)
    seconds = []
    on_gpu = device.type == "cuda"
    for step, underway in enumerate(fit(trainable, updates, optimizer, settings, loss_of(case))):
        if updates.tokens_per_device != tokens:
            raise RuntimeError("memory ran out")
        if step >= WARMUP:
            seconds.append(underway.result().seconds)
        elif on_gpu:
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
    kept = sum(
        value.nbytes
        for state in optimizer.state.values()
        for value in state.values()
        if torch.is_tensor(value)
    )
    free, everything = torch.cuda.mem_get_info() if on_gpu else (0, 0)
    return {
        "allocated": torch.cuda.max_memory_allocated() if on_gpu else 0,
        "reserved": torch.cuda.max_memory_reserved() if on_gpu else 0,
        "used": everything - free,
        "optimizer": kept,
        "seconds": float(np.median(seconds)),
    }


def run(
    cases: list[Case], forecasts: dict[str, Future[Forecast]], device: torch.device, rate: float, until: float
) -> Iterator[dict[str, Any]]:
    """A record of each case that worked, printed as it comes."""
    print(f"{'case':<20}{'forecast':>9}{'measured':>9}{'ratio':>7}{'reserved':>9}{'used':>7}"
          f"{'s/update':>9}{'tokens/s':>10}{'of rate':>8}")  # fmt: skip
    built, trainable = None, None
    with tempfile.TemporaryDirectory() as folder:
        for case in cases:
            if time.perf_counter() > until:
                print(f"{case.name:<20}left out: no time left")
                continue
            try:
                family = family_of(case.shape)
                if built != case.built:
                    built = trainable = None
                    forget()
                    loaded = model_of(case, device, Path(folder))
                    trainable = make_trainable(loaded, METHODS[case.method], seed=0)
                    del loaded
                    built = case.built
                assert trainable is not None
                got = measure(case, trainable, examples_of(case, family, Path(folder)))
                batch = shape_of(case, family)
                record = asdict(case) | {"batch": asdict(batch), "tokens": batch.tokens, "measured": got}
                record["forecast"] = forecasts[case.name].result().to_json()
                show(record, rate)
                yield record
            except Exception as error:
                built = trainable = None
                print(f"{case.name:<20}failed: {type(error).__name__}: {str(error).strip().splitlines()[:1]}")
                traceback.print_exc(limit=-4, file=sys.stderr)
                # What went wrong would hold on to its tensors by its frames.
                error.__traceback__ = None
            forget()


def forget() -> None:
    """Free what nothing refers to."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def show(record: dict[str, Any], rate: float) -> None:
    """One line of the table."""
    told, got, case = record["forecast"], record["measured"], record["name"]
    work = record["micro_batches"]
    ratio = told["total"] / got["allocated"] if got["allocated"] else float("nan")
    print(
        f"{case:<20}{told['total'] / GIB:>9.2f}{got['allocated'] / GIB:>9.2f}{ratio:>7.3f}"
        f"{got['reserved'] / GIB:>9.2f}{got['used'] / GIB:>7.2f}{got['seconds']:>9.3f}"
        f"{work * record['tokens'] / got['seconds']:>10,.0f}{work * told['flop'] / got['seconds'] / rate:>8.2f}",
        flush=True,
    )


def main() -> None:
    """Run what was asked for and write it down."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", nargs="*", help="Names of cases; none is all.")
    parser.add_argument("--seconds", type=float, default=150, help="Begin no case after so long.")
    parser.add_argument("--write", type=Path, help="Where the record goes.")
    parser.add_argument("--small", action="store_true", help="Toys, on anything.")
    asked = parser.parse_args()
    if not asked.small and not torch.cuda.is_available():
        parser.error("the real shapes need a GPU, and PyTorch finds none; --small runs toys on anything")
    began = time.perf_counter()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    name = torch.cuda.get_device_name() if device.type == "cuda" else "cpu"
    known = {case.name: case for case in (SMALL if asked.small else CASES)}
    if unknown := [one for one in asked.cases or () if one not in known]:
        parser.error(f"--cases: {', '.join(unknown)}: there is no such case ({', '.join(known)})")
    if asked.write:
        try:
            asked.write.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            parser.error(f"--write: {asked.write} cannot be written ({error.strerror}); name another file")
    cases = [known[one] for one in asked.cases or known]
    rate = matrix_rate(device, torch.bfloat16 if device.type == "cuda" else torch.float32)
    print(f"{name}, torch {torch.__version__}, transformers {__version__}, {rate / 1e12:.3g} TFLOP/s; GiB")
    found: dict[str, Any] = {
        "device": name, "torch": torch.__version__, "transformers": __version__, "matrix_rate": rate,
        "date": f"{datetime.now(UTC):%Y-%m-%d}", "cases": [],
    }  # fmt: skip
    compute = torch.bfloat16 if device.type == "cuda" else torch.float32
    machine = Machine.for_device(device, compute)
    # In processes of their own, beside the measurements: some seconds each on one core.
    spawned = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1 if asked.small else 4, spawned, keep_off_gpu) as pool:
        forecasts = {
            case.name: pool.submit(
                forecast_of, case, machine, "fp32" if compute == torch.float32 else case.weights
            )
            for case in cases
        }
        for record in run(cases, forecasts, device, rate, began + asked.seconds):
            found["cases"].append(record)
            if asked.write:
                asked.write.write_text(json.dumps(found, indent=1) + "\n")
    print(f"{len(found['cases'])} of {len(cases)} cases, {time.perf_counter() - began:.0f} s")
    if asked.write:
        print(f"written to {asked.write}")


if __name__ == "__main__":
    main()
