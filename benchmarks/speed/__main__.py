"""Runs every engine on every workload, prints a table as it goes, and writes it down."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

from benchmarks.speed import shapes, table
from benchmarks.speed.engines import ENGINES, Job
from benchmarks.speed.methods import METHODS
from benchmarks.speed.workloads import WORKLOADS, of, write_pictures

ROOT = Path(__file__).parents[2]
STAND_IN = Path(__file__).parent / "flash_stand_in"


def main(arguments: Sequence[str] | None = None) -> list[dict[str, Any]]:
    """The rows of the table, printed and written down as they come."""
    asked = _asked(arguments)
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="speed-") as place:
        machine = _machine(asked)
        print(
            f"{machine['device']}; {machine['date']}; random weights; tokens are real ones, without padding"
        )
        log = (asked.out / "logs.txt") if asked.out else Path(place) / "logs.txt"
        log.write_text("")
        for workload, method, model in _groups(asked):
            work = of(workload, asked.small)
            print(
                f"\n{workload}, {method}, {model}: {work.tokens:,} tokens, {work.samples} samples an update"
            )
            print(table.HEADER, flush=True)
            group = []
            for engine in asked.engines:
                job = _job(asked, Path(place), engine, workload, method, model)
                group.append(_row(job, asked, Path(place), log))
                print(table.line(group[-1]), flush=True)
                if asked.out:
                    table.write(asked.out, machine, [*rows, *group])
            rows += group
            print("\n".join(table.ratios(group)), flush=True)
        print(table.versions(rows))
        if asked.out:
            print(table.plot(asked.out, machine, rows))
    return rows


def _has_gpu() -> bool:
    # Imported where it is asked, so that printing the help does not wait for it.
    import torch

    return torch.cuda.is_available()


def _asked(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed", description=__doc__)
    add = parser.add_argument
    add("--engines", nargs="*", default=list(ENGINES), metavar="ENGINE", help=", ".join(ENGINES))
    add("--workloads", nargs="*", default=["short-text"], choices=list(WORKLOADS))
    add("--methods", nargs="*", default=["lora"], choices=list(METHODS))
    add("--models", nargs="*", default=["qwen2.5-7b"], choices=list(shapes.MODELS), help="for text")
    add("--updates", type=int, default=10, help="timed updates")
    add("--warmup", type=int, default=3, help="updates before those")
    add("--limit", type=float, default=120, help="seconds an engine may take in all")
    add("--out", type=Path, help="folder for speed.json, a plot and logs.txt")
    add("--small", action="store_true", help="toys, on any machine, in seconds")
    asked = parser.parse_args(arguments)
    if asked.updates < 1 or asked.warmup < 0:
        parser.error("--updates must be at least 1, --warmup at least 0")
    if not asked.small and not _has_gpu():
        parser.error("the real shapes need a GPU, and PyTorch finds none; --small runs toys on any machine")
    if asked.out:
        try:
            asked.out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            parser.error(f"--out: {asked.out} cannot be made ({error.strerror}); name another folder")
    unknown = [name for name in asked.engines if name not in ENGINES]
    if unknown:
        # A bare family of engines stands for all of its settings.
        named = [
            [engine for engine, one in ENGINES.items() if name in (engine, one.file, f"{one.file}*")]
            for name in asked.engines
        ]
        lacking = [name for name, found in zip(asked.engines, named, strict=True) if not found]
        if lacking:
            parser.error(f"--engines: {', '.join(lacking)}: there is no such engine ({', '.join(ENGINES)})")
        asked.engines = list(dict.fromkeys(engine for found in named for engine in found))
    return asked


def _groups(asked: argparse.Namespace) -> list[tuple[str, str, str]]:
    """Workloads, methods and models; pictures have a model of their own."""
    every = [
        (workload, method, shapes.SEEING if WORKLOADS[workload].sees else model)
        for workload, method, model in product(asked.workloads, asked.methods, asked.models)
    ]
    return list(dict.fromkeys(every))


def _machine(asked: argparse.Namespace) -> dict[str, Any]:
    import torch

    name = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    return {
        "device": name,
        "date": time.strftime("%Y-%m-%d"),
        "torch": torch.__version__,
        "python": sys.version.split()[0],
        "small": asked.small,
        "command": ["python", "-m", "benchmarks.speed", *sys.argv[1:]],
    }


def _job(asked: Any, place: Path, engine: str, workload: str, method: str, model: str) -> Job:
    folder = place / model
    if not (folder / "config.json").is_file():
        folder.mkdir(exist_ok=True)
        shapes.write_folder(folder, model, asked.small)
    updates, warmup = asked.updates, asked.warmup
    job = Job(engine, workload, method, model, folder, asked.small, warmup, updates, 0.0)
    if job.work.sees and not job.pictures.is_dir():
        job.pictures.mkdir()
        write_pictures(job.pictures, job.work)
    return job


def _row(job: Job, asked: Any, place: Path, log: Path) -> dict[str, Any]:
    """What one engine's process measured, or why it did not."""
    began = time.time()
    given, told = place / "job.json", place / "result.json"
    told.unlink(missing_ok=True)
    # A slow engine makes do with fewer updates before it is stopped.
    settings = asdict(job) | {"folder": str(job.folder), "deadline": began + 0.75 * asked.limit}
    given.write_text(json.dumps(settings))
    command = [sys.executable, "-m", "benchmarks.speed.one", str(given), str(told)]
    output = place / "output.txt"
    with output.open("w") as out:
        ended = _finished(command, _environment(job, place), out, asked.limit)
    took = time.time() - began
    row = {
        "engine": job.engine,
        "workload": job.workload,
        "method": job.method,
        "model": job.model,
        "took": took,
    }
    row["settings"] = job.settings.settings
    with log.open("a") as whole:
        whole.write(f"\n===== {job.engine}, {job.workload}, {job.method}, {job.model}\n")
        whole.write(output.read_text(errors="replace")[-40_000:])
    if not told.is_file():
        last = (output.read_text(errors="replace").strip().splitlines() or ["it said nothing"])[-1]
        why = (
            f"ended without a result ({last[:160]})" if ended else f"stopped after {asked.limit:.0f} seconds"
        )
        return row | {"error": why}
    result = json.loads(told.read_text())
    if "error" in result:
        return row | result
    result["workload_is"] = result.pop("workload")
    enough = len(result["seconds"]) >= asked.updates
    tokens = {"tokens": job.work.tokens, "patches": job.work.patches, "enough": enough}
    return table.completed(row | result | tokens, _counts(job.folder))


@cache
def _counts(folder: Path) -> dict[str, int]:
    from benchmarks.speed.weights import counted
    from transformers import AutoConfig

    return counted(AutoConfig.from_pretrained(folder))


def _environment(job: Job, place: Path) -> dict[str, str]:
    """The process's variables: no network, and for some engines the stand-in for flash-attn."""
    paths = [str(ROOT), str(ROOT / "src"), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    if job.settings.flash:
        paths.insert(0, str(_stand_in(place)))
    return os.environ | {
        "PYTHONPATH": os.pathsep.join(paths),
        "PYTHONUNBUFFERED": "1",
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "UNSLOTH_COMPILE_LOCATION": str(place / "unsloth_compiled"),
    }


def _stand_in(place: Path) -> Path:
    """A folder with the stand-in and the metadata by which libraries find flash-attn."""
    folder = place / "flash"
    if not folder.is_dir():
        shutil.copytree(STAND_IN, folder)
        stated = folder / "flash_attn-2.8.3.dist-info"
        stated.mkdir()
        (stated / "METADATA").write_text("Metadata-Version: 2.1\nName: flash-attn\nVersion: 2.8.3\n")
        (stated / "top_level.txt").write_text("flash_attn\n")
        (stated / "RECORD").write_text("flash_attn/__init__.py,,\n")
    return folder


def _finished(command: list[str], environment: dict[str, str], out: Any, limit: float) -> bool:
    """Run it to its end; False if it had to be stopped, with all processes that it started."""
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=out, stderr=subprocess.STDOUT, start_new_session=True
    )
    try:
        process.wait(limit)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return False
    return True


if __name__ == "__main__":
    main()
