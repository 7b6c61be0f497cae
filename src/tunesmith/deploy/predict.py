"""Predictions on new records, of any number in a memory that does not grow with it."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, groupby, islice
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from rich.console import Console

from tunesmith.deploy.inputs import Input, inputs_of
from tunesmith.deploy.loading import find_result
from tunesmith.errors import DataError, ExperimentError, counted, visible
from tunesmith.evaluate.progress import counting
from tunesmith.records.record import Record
from tunesmith.records.sources import BadRow

if TYPE_CHECKING:
    from tunesmith.deploy.writing import Form

RECORDS_AT_ONCE = 1024


@dataclass
class Told:
    """How many records were answered and how many were bad, told on standard error as they come."""

    console: Console
    predictions: int = 0
    bad: int = 0
    cut: int = 0
    """Answers that reached the maximum length without an end token."""

    def refuse(self, row: BadRow) -> None:
        """Tell of a bad row."""
        self.bad += 1
        self.console.print(visible(f"{row.where}: {row.why}"), markup=False, highlight=False, soft_wrap=True)


def predict(
    run: str | Path,
    inputs: Sequence[str | Path],
    output: Path | None = None,
    form: Form = "jsonl",
    records_at_once: int = RECORDS_AT_ONCE,
    fields: Mapping[str, str] | None = None,
    overrides: Sequence[str] = (),
    max_new_tokens: int | None = None,
    on_bad_rows: Literal["fail", "skip"] = "fail",
) -> int:
    """Number of predictions, written to `output` or standard output in the order of the inputs.

    `run` and `overrides` are as for `load_result`. `inputs` are data files (`.jsonl`, `.json`, `.csv`, `.tsv`,
    `.parquet`), pictures, folders of pictures, or `-` for JSON lines on standard input; `fields` are values for what
    the rows do not have. So many records as `records_at_once` are read, answered and written together. Bad rows are
    told on standard error; there is a DataError at the end if there were any, unless they are to be skipped.
    """
    names = [str(one) for one in inputs]
    _refuse_over_itself(output, names)
    found = find_result(run, overrides)
    given = inputs_of(names, found.experiment, fields or {})

    from tunesmith.deploy.writing import opened, writer

    is_shown = output is None and sys.stdout.isatty()
    told = Told(Console(stderr=True, force_terminal=False if is_shown else None))
    with opened(output) as file:
        result = found.load(max_new_tokens)
        labels = result.task.labels_in_order if result.engine.gives == "scores" else None
        write = writer(form, file, labels)
        counts = [one.count for one in given]
        total = None if None in counts else sum(count or 0 for count in counts)
        with counting("predictions", total, 0, told.console) as advance:
            for chunk in chunks(given, records_at_once):
                for one in result.answered(chunk.rows, chunk.source.beside, chunk.source.pictures, advance):
                    if isinstance(one, BadRow):
                        told.refuse(one)
                    else:
                        write(one)
                        told.predictions += 1
                        told.cut += not one.ended
                file.flush()
    if told.cut:
        told.console.print(
            f"{told.cut:,} of {counted(told.predictions, 'answer')} cut: the maximum length was reached without an end "
            "token (ended: false). Raise --max-new-tokens",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
    if told.bad and on_bad_rows == "fail":
        raise DataError(
            f"no prediction for {told.bad:,} of {counted(told.bad + told.predictions, 'record')}, for the reasons "
            "above; all others have one. With --on-bad-rows skip that is no error"
        )
    return told.predictions


@dataclass(frozen=True)
class Chunk:
    """Records that are answered together."""

    source: Input
    """The first input of their kind: all of a kind find their pictures alike."""
    rows: Iterator[Record | BadRow]
    """Read as they are asked for, all before the next chunk."""


def chunks(inputs: Sequence[Input], most: int) -> Iterator[Chunk]:
    """The rows of all inputs in order, at most so many together, over the ends of inputs of one kind."""
    for _, group in groupby(inputs, lambda one: one.are_pictures):
        alike = list(group)
        rows = chain.from_iterable(one.rows() for one in alike)
        for first in rows:
            yield Chunk(alike[0], chain([first], islice(rows, most - 1)))


def _refuse_over_itself(output: Path | None, names: Sequence[str]) -> None:
    """Raise ExperimentError if the output would take the place of an input."""
    if output is not None and any(Path(name).resolve() == output.resolve() for name in names if name != "-"):
        raise ExperimentError(f"--output {output}: is one of the inputs; name another file")
