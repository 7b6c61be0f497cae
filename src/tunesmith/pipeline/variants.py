"""Every variant of an experiment, one after the other: one that fails does not keep the others from running."""

from __future__ import annotations

import gc
import traceback
from collections.abc import Mapping
from pathlib import Path

import torch
from rich.console import Console as Terminal

from tunesmith.config.experiment import Experiment
from tunesmith.errors import TunesmithError
from tunesmith.files import DISK_FULL
from tunesmith.pipeline.context import RunContext
from tunesmith.pipeline.preflight import check_settings
from tunesmith.pipeline.run import precision_in_words, run
from tunesmith.report.compare import compare_folders, write_compared
from tunesmith.report.terminal import print_comparison, print_summary


def run_all(variants: Mapping[str, Experiment], where: Path, terminal: Terminal) -> list[Path]:
    """The run folders of all variants, after all of them have run and those that finished have been compared.

    The settings of all variants are checked before the first begins, and one with a fault is not run. If any fails,
    the others run all the same, and then the kind of the first failure is raised, with all failures by variant.
    """
    folders: list[Path] = []
    faults = _faults_of_settings(variants, where)
    for name, fault in faults.items():
        _print(terminal, f"variant {name} is not run: {fault}", "red")
    for number, (name, experiment) in enumerate(variants.items(), 1):
        if name in faults:
            continue
        title = f"variant {name}, {number} of {len(variants)}: weights {precision_in_words(experiment.model)}"
        _print(terminal, f"\n{title}", "bold reverse")
        try:
            folders.append(run(experiment, where, name, terminal))
            print_summary(folders[-1], terminal)
        except TunesmithError as error:
            faults[name] = type(error)(str(error))
        except Exception as error:
            if isinstance(error, OSError) and error.errno in DISK_FULL:
                raise
            traceback.print_exc()
            faults[name] = TunesmithError(f"{type(error).__name__}: {error} (the traceback is above)")
        if name in faults:
            _print(terminal, f"variant {name} failed: {faults[name]}", "red")
        # What the variant held is let go of before the next one is loaded.
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
    compare_finished(folders, terminal)
    if faults:
        named = "\n".join(f"{name}: {fault}" for name, fault in faults.items())
        first = next(iter(faults.values()))
        raise type(first)(f"{len(faults)} of {len(variants)} variants failed, the others are done:\n{named}")
    return folders


def compare_finished(folders: list[Path], terminal: Terminal) -> None:
    """Print the comparison of several runs and write its page next to them."""
    if len(folders) < 2:
        return
    page = folders[0].parent / "report.html"
    compared = compare_folders(folders, page.parent)
    print_comparison(compared, terminal)
    write_compared(compared, page)
    _print(terminal, f"\nall variants: {page}")


def _faults_of_settings(variants: Mapping[str, Experiment], where: Path) -> dict[str, TunesmithError]:
    """What is wrong with the settings of each variant that has a fault."""
    faults = {}
    for name, experiment in variants.items():
        try:
            check_settings(RunContext(experiment, where, name, say=lambda text: None))
        except TunesmithError as error:
            faults[name] = error
    return faults


def _print(terminal: Terminal, text: str, style: str | None = None) -> None:
    terminal.print(text, style=style, markup=False, highlight=False, soft_wrap=True)
