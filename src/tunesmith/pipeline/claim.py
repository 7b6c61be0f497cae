"""Holding a run folder for this process, with its settings written down."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tunesmith.config.read import dump_experiment
from tunesmith.files import expanded, whole_file
from tunesmith.pipeline.context import RunContext
from tunesmith.pipeline.environment import environment, with_later
from tunesmith.pipeline.folder import RunFolder, at_work
from tunesmith.pipeline.runs import why_new
from tunesmith.runs.run import ENVIRONMENT, RUN, RunInfo
from tunesmith.runs.sealing import is_incomplete, unseal


@contextmanager
def claimed(run: RunContext) -> Iterator[RunFolder]:
    """Hold the run folder for this process. Settings are written down unless the run is finished.

    ExperimentError if another process holds it.
    """
    with ExitStack() as held:
        with at_work(run.shared.lock(run.variant), wait=True):
            run.choose_again()
            folder = run.folder
            notice = None
            if not folder.has_begun:
                notice = why_new(run.shared.runs(run.variant), folder, run.experiment, run_info(run))
            held.enter_context(at_work(folder.path))
            if not run.is_finished or is_incomplete(folder.path):
                write_down(run)
        if notice:
            run.say(notice)
        try:
            yield folder
        except KeyboardInterrupt as stop:
            stop.add_note(f"{folder.path} is kept as far as it is done")
            raise


def write_down(run: RunContext) -> None:
    """Write the resolved experiment, the environment, and `run.json`."""
    path = run.folder.path
    unseal(path)
    with whole_file(path / "experiment.yaml") as file:
        file.write_text(dump_experiment(run.experiment), encoding="utf-8")
    ENVIRONMENT.write(path, with_later(ENVIRONMENT.read(path), environment()))
    RUN.write(path, run_info(run))


def run_info(run: RunContext) -> RunInfo:
    """The content of the run's `run.json`."""
    model = expanded(Path(run.model.path))
    return RunInfo(
        experiment=run.experiment.name,
        variant=run.variant,
        number=run.folder.number,
        key=run.keys.combined,
        asked=run.keys.asked,
        data=f"../data-{run.data_key}",
        base=f"../{run.base_folder.name}",
        where=os.path.relpath(run.where.resolve(), run.folder.path.resolve()),
        model=str(model.resolve()) if model.exists() else run.model.path,
    )
