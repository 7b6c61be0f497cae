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
_MOST_NAMED = 50


@dataclass
class PredictionLog:
    """Numbers of answered and of bad records, and what is said of them on standard error."""

    console: Console
    predictions: int = 0
    bad: int = 0
    cut: int = 0
    """Answers that reached the maximum length without an end token."""

    def refuse(self, row: BadRow) -> None:
        """Print a bad row and count it."""
        self.bad += 1
        self.say(f"{row.where}: {row.why}")

    def name_passed_over(self, source: Input) -> None:
        """Print which files of a folder have no prediction, if there are any."""
        names = source.passed_over
        if names:
            more = f" and {len(names) - _MOST_NAMED:,} more" if len(names) > _MOST_NAMED else ""
            self.say(
                f"{source.name}: {counted(len(names), 'file')} passed over, because no picture or hidden: "
                f"{', '.join(names[:_MOST_NAMED])}{more}"
            )

    def say(self, text: str) -> None:
        """Print a line."""
        self.console.print(visible(text), markup=False, highlight=False, soft_wrap=True)


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
    the rows do not have. `records_at_once` records are read, answered and written together. Bad rows, and files of a
    folder that are no pictures, are named on standard error; bad rows end in a DataError, unless they are to be
    skipped.
    """
    names = [str(one) for one in inputs]
    _refuse_over_itself(output, names)
    found = find_result(run, overrides)
    given = inputs_of(names, found.experiment, fields or {})

    from tunesmith.deploy.writing import opened, writer

    is_shown = output is None and sys.stdout.isatty()
    log = PredictionLog(Console(stderr=True, force_terminal=False if is_shown else None))
    for source in given:
        log.name_passed_over(source)
    with opened(output) as file:
        result = found.load(max_new_tokens)
        labels = result.task.labels_in_order if result.engine.gives == "scores" else None
        write = writer(form, file, labels)
        counts = [source.count for source in given]
        total = None if None in counts else sum(count or 0 for count in counts)
        with counting("predictions", total, 0, log.console) as advance:
            for chunk in chunks(given, records_at_once):
                answers = result.answered(chunk.rows, chunk.source.image_root, chunk.source.pictures, advance)
                for answer in answers:
                    if isinstance(answer, BadRow):
                        log.refuse(answer)
                    else:
                        write(answer)
                        log.predictions += 1
                        log.cut += not answer.ended
                file.flush()
    if log.cut:
        log.say(
            f"{log.cut:,} of {counted(log.predictions, 'answer')} cut: the maximum length was reached "
            "without an end token (ended: false). Raise --max-new-tokens"
        )
    if log.bad and on_bad_rows == "fail":
        total = log.bad + log.predictions
        raise DataError(
            f"no prediction for {log.bad:,} of {counted(total, 'record')}, for the reasons above; all others have "
            "one. With --on-bad-rows skip that is no error"
        )
    return log.predictions


@dataclass(frozen=True)
class Chunk:
    """Records that are answered together."""

    source: Input
    """The first input of their kind: all of a kind read their pictures in the same way."""
    rows: Iterator[Record | BadRow]
    """Read lazily, all before the next chunk."""


def chunks(inputs: Sequence[Input], size: int) -> Iterator[Chunk]:
    """The rows of all inputs in order, at most `size` in a chunk; a chunk can span inputs of one kind."""
    for _, group in groupby(inputs, lambda source: source.are_pictures):
        alike = list(group)
        rows = chain.from_iterable(source.rows() for source in alike)
        for first in rows:
            yield Chunk(alike[0], chain([first], islice(rows, size - 1)))


def _refuse_over_itself(output: Path | None, names: Sequence[str]) -> None:
    """Raise ExperimentError if the output would take the place of an input."""
    if output is not None and any(Path(name).resolve() == output.resolve() for name in names if name != "-"):
        raise ExperimentError(f"--output {output}: is one of the inputs; name another file")
