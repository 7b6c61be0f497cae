"""Inputs of `predict`: data files, pictures, folders of pictures, or JSON lines from standard input."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from io import BufferedReader
from pathlib import Path
from typing import Any, cast

from tunesmith.config.experiment import Experiment, Pictures
from tunesmith.config.registry import Registry
from tunesmith.errors import DataError, ExperimentError, counted, did_you_mean
from tunesmith.files import expanded
from tunesmith.images.decode import RAW_ENDINGS, is_picture
from tunesmith.records.record import Record
from tunesmith.records.sources import BadRow, Source
from tunesmith.records.sources.images import files_in
from tunesmith.records.sources.jsonl import Jsonl
from tunesmith.tasks import Task

STANDARD_INPUT = "-"
_SOURCES: dict[str, tuple[str, dict[str, Any]]] = {
    ".jsonl": ("jsonl", {}),
    ".ndjson": ("jsonl", {}),
    ".json": ("json", {}),
    ".csv": ("csv", {}),
    ".tsv": ("csv", {"delimiter": "\t"}),
    ".parquet": ("parquet", {}),
}
"""Kind of source and settings by the ending of a file."""
_PICTURES = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".webp", ".gif", ".tif", ".tiff", ".bmp", ".dib",
    ".avif", ".jp2", ".j2k", ".jpeg2000", ".ppm", ".pgm", ".pbm", ".pnm", ".ico", ".tga", ".heic", ".heif",
)  # fmt: skip
_UNREADABLE = (*RAW_ENDINGS, ".svg", ".psd", ".jxl", ".eps", ".exr", ".hdr", ".xcf", ".dcm")
"""Endings of pictures that cannot be decoded: each is a bad row, which says so."""


@dataclass(frozen=True)
class Input:
    """One of the inputs."""

    name: str
    are_pictures: bool
    """True for a picture or a folder of pictures."""
    rows: Callable[[], Iterator[Record | BadRow]]
    """Gives its rows, in order, as they are asked for. What ends too early ends with a bad row."""
    count: int | None
    """How many rows it has, if that can be known before."""
    image_root: Callable[[str], Path]
    """The folder that the paths of a row's pictures are relative to, by the row's id."""
    pictures: Pictures
    """Settings by which pictures are read."""
    passed_over: tuple[str, ...] = ()
    """Files of a folder that are no pictures, or hidden ones: they have no prediction."""


def inputs_of(names: Sequence[str], experiment: Experiment, given: Mapping[str, str]) -> list[Input]:
    """The inputs of these names. `given` are values of fields that rows do not have themselves. DataError names all
    that do not exist or are of no known kind; ExperimentError says what the task asks about besides pictures."""
    task = experiment.task
    _refuse_unknown_fields(given, task)
    faults = [fault for name in names if (fault := _fault(name))]
    if faults:
        raise DataError("\n".join(faults))
    shown = [name for name in names if _is_picture(name)]
    field = _picture_field(shown, task, given) if shown else ""
    return [
        _pictures(name, field, given, experiment) if _is_picture(name) else _data(name, given, experiment)
        for name in names
    ]


def _is_picture(name: str) -> bool:
    """True for a picture and for a folder of pictures."""
    return name != STANDARD_INPUT and (Path(name).is_dir() or _is_picture_file(Path(name)))


def _is_picture_file(file: Path) -> bool:
    """True for a picture by its ending or, with any ending but those of data files, by its content."""
    ending = _ending(file.name)
    return ending in (*_PICTURES, *_UNREADABLE) or (ending not in _SOURCES and is_picture(file))


def _ending(name: str) -> str:
    """The ending that states the kind: `.csv` of `a.csv.gz`."""
    path = Path(name)
    return (path.with_suffix("") if path.suffix.lower() == ".gz" else path).suffix.lower()


def _fault(name: str) -> str | None:
    """Why a name cannot be read, or None."""
    if name == STANDARD_INPUT:
        return None
    path = Path(name)
    if path.is_dir():
        has_pictures = any(_is_picture_file(path / file) for file in files_in(path))
        return None if has_pictures else f"{name}: is a folder without pictures ({', '.join(_PICTURES)})"
    if not path.exists():
        beside = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
        return f"{name}: does not exist.{did_you_mean(path.name, beside)}"
    if _ending(name) not in _SOURCES and not _is_picture_file(path):
        possible = ", ".join((*_SOURCES, *_PICTURES))
        return f"{name}: neither its ending nor its content is a known one ({possible}); '-' reads JSON lines"
    return None


def _refuse_unknown_fields(given: Mapping[str, str], task: Task) -> None:
    asked = task.fields_asked()
    unknown = [name for name in given if name not in asked]
    if unknown:
        raise ExperimentError(
            "\n".join(
                f"--field {name}: the task asks about no such field ({', '.join(asked)}).{did_you_mean(name, asked)}"
                for name in unknown
            )
        )


def _picture_field(names: Sequence[str], task: Task, given: Mapping[str, str]) -> str:
    """The field that a picture alone stands for; ExperimentError if there is no such one, or more is needed."""
    fields = task.picture_fields()
    if len(fields) != 1:
        asks = (
            f"about {counted(len(fields), 'picture')} ({', '.join(fields)})" if fields else "about no picture"
        )
        raise ExperimentError(
            f"{names[0]}: is a picture, but task {task.kind!r} asks {asks}. Give a data file with the fields "
            f"{', '.join(task.fields_asked())}"
        )
    lacking = [name for name in task.fields_asked() if name not in (*fields, *given)]
    if lacking:
        options = " ".join(f"--field {name}=VALUE" for name in lacking)
        raise ExperimentError(
            f"{names[0]}: besides a picture, task {task.kind!r} asks about {', '.join(lacking)}. Add {options}, or "
            f"give a data file with the fields {', '.join(task.fields_asked())}"
        )
    return fields[0]


def _pictures(name: str, field: str, given: Mapping[str, str], experiment: Experiment) -> Input:
    """A picture, or all pictures in a folder, each a record named by its path."""
    folder = Path(name)
    files, passed_over = [name], []
    if folder.is_dir():
        files = []
        for file in files_in(folder, hidden=True):
            is_hidden = any(part.startswith(".") for part in Path(file).parts)
            if not is_hidden and _is_picture_file(folder / file):
                files.append((folder / file).as_posix())
            elif not is_hidden or _ending(file) in _PICTURES:
                passed_over.append(file)

    def rows() -> Iterator[Record | BadRow]:
        for file in files:
            yield Record(file, {**given, field: Path(file).name})

    anywhere = experiment.data.pictures.model_copy(update={"name": "{}", "outside": True})
    return Input(name, True, rows, len(files), lambda id: Path(id).parent, anywhere, tuple(passed_over))


def _data(name: str, given: Mapping[str, str], experiment: Experiment) -> Input:
    """A data file, or what comes from standard input."""
    columns, task = experiment.data.source.columns, experiment.task
    count: int | None = None
    if name == STANDARD_INPUT:
        stream = cast(BufferedReader, sys.stdin.buffer)
        label, opened = "stdin", partial(Jsonl(path="-").rows_in, "stdin", stream)
    else:
        source, label = _source(name, experiment.data.source), name
        shown = task.picture_fields()
        named = (*shown, *(columns[field] for field in shown if field in columns))
        opened = partial(source.rows_with_pictures, Path(), named) if named else partial(source.rows, Path())
        count = sum(1 for _ in _to_its_end(name, partial(source.rows, Path())))
    pictures = experiment.data.pictures
    folder = pictures.folder

    def rows() -> Iterator[Record | BadRow]:
        for row in _to_its_end(label, opened):
            yield row if isinstance(row, BadRow) else _completed(row, task, columns, given)

    def image_root(id: str) -> Path:
        return Path(id.rpartition(":")[0]).parent if folder is None else expanded(folder)

    return Input(label, False, rows, count, image_root, pictures)


def _source(name: str, trained_on: Source) -> Source:
    """The source of a file: of the kind of the training data's, it is read in the same way (delimiter, encoding)."""
    kind, settings = _SOURCES[_ending(name)]
    path = {"path": name, "columns": {}}
    if trained_on.kind == kind:
        return trained_on.model_copy(update={**path, **settings})
    source: Source = Registry("tunesmith.records.sources", "tunesmith.records.demo_sources").item(kind)(
        **path, **settings
    )
    return source


def _completed(record: Record, task: Task, columns: Mapping[str, str], given: Mapping[str, str]) -> Record:
    """The record with fields under the names that the task asks by: from columns that the training data had, or as
    given."""
    fields = dict(record.fields)
    for name in task.fields_asked():
        if name not in fields and columns.get(name) in fields:
            fields[name] = fields[columns[name]]
    return Record(record.id, {**given, **fields})


def _to_its_end(name: str, opened: Callable[[], Iterator[Record | BadRow]]) -> Iterator[Record | BadRow]:
    """The rows, and a bad row at the place from which the source cannot be read."""
    try:
        yield from opened()
    except DataError as fault:
        yield BadRow(name, str(fault).removeprefix(f"{name}: "))
