"""The JSON files of a run folder. One type per file serves its writer and its reader."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError

from tunesmith.errors import ExperimentError
from tunesmith.files import as_json, damaged, whole_file

Value = TypeVar("Value")


@dataclass(frozen=True)
class JsonFile(Generic[Value]):
    """A JSON file that holds values of one type, a dataclass of plain values.

    Unknown keys are ignored when a file is read, so that files of later versions can be read.
    """

    name: str
    """File name, such as `run.json`."""
    type: Any
    """The type of the value: `Value`, or an alias such as `tuple[Value, ...]`."""
    omitted: tuple[str, ...] = ()
    """Dotted names of fields that are left out of the file if they are None, 0 or empty."""

    def write(self, folder: Path, value: Value) -> None:
        """Write the value to the file in a folder, completely or not at all.

        TypeError if a field has a value that is not of its declared type.
        """
        text = self.dump(value)
        with whole_file(folder / self.name) as temporary:
            temporary.write_text(text, encoding="utf-8")

    def dump(self, value: Value) -> str:
        """The content of the file, as JSON text. TypeError as for `write`."""
        return as_json(self.to_json(value), indent=2) + "\n"

    def to_json(self, value: Value) -> Any:
        """The value as plain dicts, lists and numbers. TypeError as for `write`."""
        try:
            plain = self._adapter.dump_python(value, by_alias=True, warnings="error")
        except PydanticSerializationError as error:
            raise TypeError(f"{self.name}: {' '.join(str(error).split())}") from error
        for path in self.omitted:
            holder, _, name = path.rpartition(".")
            fields = plain[holder] if holder else plain
            if fields is not None and not fields[name]:
                del fields[name]
        return plain

    def read(self, folder: Path) -> Value | None:
        """The value of the file in a folder, or None if there is no such file.

        ExperimentError if the file is damaged.
        """
        try:
            return self.parse(folder)
        except ValueError as error:
            raise damaged(folder / self.name, error) from error

    def require(self, folder: Path) -> Value:
        """The value of the file in a folder. ExperimentError if it is missing or damaged."""
        value = self.read(folder)
        if value is None:
            raise ExperimentError(
                f"{folder / self.name}: does not exist. Call `tunesmith run` with the same experiment to write it again"
            )
        return value

    def parse(self, folder: Path) -> Value | None:
        """The value of the file in a folder, or None if there is no such file. ValueError says what is wrong with the
        content."""
        try:
            content = (folder / self.name).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise ValueError(error.strerror or str(error)) from error
        try:
            value: Value = self._adapter.validate_json(content)
        except ValidationError as error:
            raise ValueError(first_fault(error)) from error
        return value

    def exists(self, folder: Path) -> bool:
        """True if the folder has the file."""
        return (folder / self.name).exists()

    @cached_property
    def _adapter(self) -> TypeAdapter[Any]:
        return TypeAdapter(self.type)


def first_fault(error: ValidationError) -> str:
    """The first error that pydantic found, in one line.

    >>> try:
    ...     TypeAdapter(dict[str, int]).validate_json('{"records": "x"}')
    ... except ValidationError as error:
    ...     first_fault(error)
    'records: Input should be a valid integer, unable to parse string as an integer'
    """
    first = error.errors(include_url=False, include_context=False)[0]
    place = ".".join(str(key) for key in first["loc"])
    return f"{place}: {first['msg']}" if place else first["msg"]
