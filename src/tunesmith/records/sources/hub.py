"""Source `hub`: a data set of the Hugging Face hub, or a local folder laid out like one."""

from __future__ import annotations

import json
import sys
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tunesmith.errors import DataError, did_you_mean
from tunesmith.files import expanded
from tunesmith.records.record import Record
from tunesmith.records.sources import BadRow, Source
from tunesmith.records.sources._arrow_process import UnreadableError, batches_of
from tunesmith.records.sources._class_labels import class_names_in, with_class_names
from tunesmith.records.sources._parquet_process import LEFT_OUT, slices
from tunesmith.records.sources._rows import require_columns
from tunesmith.records.sources._tables import BYTES_AT_ONCE, columns_of, readable, rows_at_once, rows_of_batch

if TYPE_CHECKING:
    import pyarrow as pa
    from datasets import Dataset

_LONGEST_CAUSE = 200


class Hub(Source):
    """A data set by the `datasets` library. A class label reads as its name, also inside lists and objects; columns of
    bytes are left out, except pictures that a task asks about."""

    kind: Literal["hub"] = "hub"
    path: str
    """Name on the hub (`fancyzhx/ag_news`), or a local folder: in hub layout, or from
    `Dataset.save_to_disk`."""
    config: str | None = None
    """Name of the configuration (subset); none is the default one."""
    split: str = "train"
    """Which split, such as `train`, `test`, or `train[:1000]`."""
    revision: str | None = None
    """Branch, tag or commit. Only a commit makes sure that the rows stay the same."""

    def rows(self, base: Path) -> Iterator[Record | BadRow]:
        """One row a row, named `path/split:number` from 1; DataError if there is no such data set or
        split."""
        return self._rows(base, ())

    def rows_with_pictures(self, base: Path, fields: tuple[str, ...]) -> Iterator[Record | BadRow]:
        """Rows with bytes, or objects with `bytes` and `path`, in these fields: files as they are, not decoded."""
        return self._rows(base, columns_of(fields, self.columns))

    def beside(self, base: Path, where: str) -> str:
        """The folder of a local data set."""
        return self.path if (base / expanded(Path(self.path))).is_dir() else ""

    def _rows(self, base: Path, with_bytes: Collection[str]) -> Iterator[Record | BadRow]:
        import pyarrow as pa

        where = "/".join(part for part in (self.path, self.config, self.split) if part)
        first = 1
        batches = (
            self._batches_apart(base, with_bytes) if self._is_arrow(base) else self.batches(base, with_bytes)
        )
        schema = next(batches).schema
        require_columns(where, self.columns, schema.names)
        left_out, labels = tuple(json.loads(schema.metadata[LEFT_OUT])), class_names_in(schema)
        for batch in batches:
            table = with_class_names(pa.Table.from_batches([batch]), labels)
            for named in table.combine_chunks().to_batches():
                yield from rows_of_batch(where, first, named, self.columns, left_out)
            first += batch.num_rows
        if first == 1:
            raise DataError(f"{where}: is empty: it holds no rows.")

    def batches(self, base: Path, with_bytes: Collection[str]) -> Iterator[pa.RecordBatch]:
        """The rows as record batches, after an empty one for the schema, whose metadata name the columns left out."""
        import pyarrow as pa

        dataset = self._load(base)
        arrow = dataset.features.arrow_schema
        names = readable(arrow, with_bytes)
        chosen = dataset.select_columns(names).with_format("arrow")
        left_out = json.dumps([name for name in dataset.features if name not in names])
        schema = pa.schema(
            [arrow.field(name) for name in names], {**(arrow.metadata or {}), LEFT_OUT: left_out}
        )
        yield pa.RecordBatch.from_pylist([], schema=schema)
        for table in chosen.iter(rows_at_once(chosen.data.nbytes, chosen.data.num_rows)):
            for batch in table.combine_chunks().to_batches():
                for part in slices(batch, BYTES_AT_ONCE):
                    yield pa.RecordBatch.from_arrays(part.columns, schema=schema)

    def _is_arrow(self, base: Path) -> bool:
        """True for a local folder with files that Arrow reads, of which a damaged one can end the process."""
        folder = base / expanded(Path(self.path))
        return folder.is_dir() and any(next(folder.rglob(f"*{end}"), None) for end in (".parquet", ".arrow"))

    def _batches_apart(self, base: Path, with_bytes: Collection[str]) -> Iterator[pa.RecordBatch]:
        """The batches, read by a process of its own."""
        settings = self.model_dump_json(exclude={"columns"})
        program = [sys.executable, "-P", "-m", "tunesmith.records.sources._hub_process"]
        try:
            yield from batches_of([*program, settings, str(base.absolute()), *with_bytes])
        except UnreadableError as error:
            start = f"hub data set {self.path!r}: "
            raise DataError(start + str(error).removeprefix(start)) from error

    def fingerprint(self, base: Path) -> str:
        """Name and revision; of a local folder, name, size and time of change of every file."""
        folder = base / expanded(Path(self.path))
        name = f"{self.path} {self.config} {self.split} {self.revision}"
        if not folder.is_dir():
            return name
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        stats = [(path.relative_to(folder).as_posix(), path.stat()) for path in files]
        return "; ".join([name, *(f"{file} {stat.st_size} {stat.st_mtime_ns}" for file, stat in stats)])

    def _load(self, base: Path) -> Dataset:
        import datasets

        folder = base / expanded(Path(self.path))
        try:
            if (folder / "state.json").is_file() or (folder / "dataset_dict.json").is_file():
                return self._saved(folder)
            path = str(folder) if folder.is_dir() else self.path
            return datasets.load_dataset(path, self.config, split=self.split, revision=self.revision)
        except (datasets.exceptions.DatasetsError, OSError, ValueError, RuntimeError) as error:
            cause = error.__cause__
            reason = f" ({type(cause).__name__}: {str(cause)[:_LONGEST_CAUSE]})" if cause is not None else ""
            raise DataError(
                f"hub data set {self.path!r}: {str(error) or type(error).__name__}{reason}"
            ) from error

    def _saved(self, folder: Path) -> Dataset:
        import datasets

        saved = datasets.load_from_disk(str(folder))
        if isinstance(saved, datasets.Dataset):
            return saved
        if self.split not in saved:
            raise ValueError(
                f"has no split {self.split!r} ({', '.join(saved)})." + did_you_mean(self.split, saved)
            )
        return saved[self.split]
