"""Which class a value in the data stands for: its label, its position in the list of labels, or a key of a mapping.

A number is ambiguous: 1 can be the label "1", the second of the labels (counted from 0), or the first (counted from
1). The rule: a number that spells a label is that label. Numbers are positions only if the whole source shows it: 0
occurs, none is as large as the number of labels, and no label holds another number in that range. Anything else is
refused, with the mapping that would settle it.
"""

from __future__ import annotations

import json
import math
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from numbers import Integral, Real
from typing import Any, Literal, get_args

from tunesmith.errors import DataError, did_you_mean
from tunesmith.tasks._prompt import text_of

LabelReading = Literal["names", "indices", "vectors"]
"""What numbers in the data stand for: nothing but the labels that they spell; also positions in the list of labels
(from 0); or, in lists as long as that of the labels, 1 for each class that applies and 0 for the others."""

_WHOLE = re.compile(r"-?(?:0|[1-9]\d*)(?:\.0+)?")
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
_PLAIN_YAML = re.compile(r"[^\W\d_][\w /.()&+-]*")
_YAML_WORDS = {"true", "false", "null"}
_MOST_SHOWN = 100
_MOST_NUMBERS = 200


def spelled(value: Any) -> str:
    """The text of a value as labels are compared: in NFC, white space at its ends and repeated inside left out.

    >>> spelled("  Sci/Tech "), spelled(2), spelled(True)
    ('Sci/Tech', '2', 'true')
    """
    return " ".join(unicodedata.normalize("NFC", text_of(_native(value))).split())


def reading_of(decision: str | None) -> LabelReading:
    """The decision as it was written down; without one, numbers are labels only. DataError if it is no such word."""
    for reading in get_args(LabelReading):
        if reading == (decision or "names"):
            return reading  # type: ignore[no-any-return]
    raise DataError(
        f"labels were decided to be {decision!r}, which this version does not know. Prepare the data again"
    )


def codes_by_text(mapping: Any) -> Any:
    """The mapping with its keys as text; ValueError if two keys are the same value. Other values are passed on."""
    if not isinstance(mapping, dict):
        return mapping
    seen: dict[Any, Any] = {}
    for code in mapping:
        if _key(code) in seen:
            raise ValueError(
                f"the keys {seen[_key(code)]!r} and {code!r} are the same value in data; remove one"
            )
        seen[_key(code)] = code
    return {text_of(code): label for code, label in mapping.items()}


def _native(value: Any) -> Any:
    """The value as Python has it; numbers of numpy and Arrow are unpacked."""
    if isinstance(value, bool | int | float | str | list | dict) or value is None:
        return value
    if isinstance(value, Integral):
        return int(value)
    return float(value) if isinstance(value, Real) else str(value)


def _key(value: Any) -> tuple[str, Any]:
    """What is equal for two values that mean the same: `2`, `2.0` and `"2"`; `true` and `"True"`."""
    text = spelled(value)
    if _WHOLE.fullmatch(text):
        return "number", int(text.partition(".")[0])
    return ("boolean", text.lower()) if text in _BOOLEANS else ("text", text)


_BOOLEANS = {"true", "True", "TRUE", "false", "False", "FALSE"}


def _number(value: Any) -> float | int | None:
    """The number that a value is or spells, whole ones as int; None if it is or spells none."""
    value = _native(value)
    if isinstance(value, str):
        value = float(value) if _NUMBER.fullmatch(value.strip()) else None
    if value is None or isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if math.isfinite(value) and float(value).is_integer() else float(value)


def _is_boolean(value: Any) -> bool:
    return _key(value)[0] == "boolean"


@dataclass(frozen=True)
class ClassNames:
    """The classes of a task by name, and what stands for each of them in the data."""

    names: tuple[str, ...]
    """Each class once, in order."""
    setting: str
    """The setting that lists them, such as `task.labels`."""
    codes: Mapping[str, str] | None = None
    """From the text of a value in the data to the name, if that is how the setting lists them."""
    reading: LabelReading = "names"

    def index(self, value: Any) -> int:
        """The class of one value; ValueError if it stands for none."""
        found = self.spelled_by(value)
        if found is not None:
            return found
        number = _number(value)
        if self.reading == "indices" and number in range(len(self.names)):
            return int(number or 0)
        possible = list(self.codes or self.names)
        raise ValueError(
            f"{_native(value)!r}, none of {self.setting} ({', '.join(possible)})."
            + (did_you_mean(spelled(value), possible) or self._hint(value))
        )

    def indices(self, values: Sequence[Any]) -> tuple[int, ...]:
        """The classes of a list of values, each once, in order; ValueError if one of them stands for none, or the
        list is no vector of 0 and 1 where the others are."""
        if self.reading == "vectors" and values and all(self.spelled_by(one) is None for one in values):
            if not self.is_vector(values):
                raise ValueError(
                    f"{list(map(_native, values))!r}; where other records have a 0 or 1 for each of the "
                    f"{len(self.names)} labels, it must be such a list too"
                )
            return tuple(index for index, one in enumerate(values) if _flag(one))
        return tuple(sorted({self.index(one) for one in values}))

    def spelled_by(self, value: Any) -> int | None:
        """The class whose label (or key of the mapping) the value is."""
        exact, alike = self._table
        return exact.get(spelled(value), alike.get(_key(value)))

    @cached_property
    def _table(self) -> tuple[dict[str, int], dict[tuple[str, Any], int]]:
        """Classes by the exact text of what stands for them, and by what means the same, where only one does."""
        stated = [(name, name) for name in self.names] if self.codes is None else list(self.codes.items())
        # Where all keys are numbers and no name is one, a name in the data can only be itself.
        if all(_key(code)[0] != "text" for code, _ in stated) and all(
            _key(name)[0] == "text" for name in self.names
        ):
            stated += [(name, name) for name in self.names]
        exact = {spelled(code): self.names.index(name) for code, name in stated}
        alike: dict[tuple[str, Any], set[int]] = {}
        for code, name in stated:
            alike.setdefault(_key(code), set()).add(self.names.index(name))
        return exact, {key: min(found) for key, found in alike.items() if len(found) == 1}

    def is_vector(self, values: Sequence[Any]) -> bool:
        """True if a list can be a vector of 0 and 1: as long as the labels are many, and none of it a label."""
        return len(values) == len(self.names) and all(
            _flag(one) is not None and self.spelled_by(one) is None for one in values
        )

    def _hint(self, value: Any) -> str:
        if self.codes is not None or self.reading != "names":
            return ""
        if _number(value) is None and not _is_boolean(value):
            return ""
        return (
            " A number is a position in the list only where all records of a source show that it is. "
            "Write what each value stands for: " + self.mapping(range(len(self.names)), self.names)
        )

    def mapping(self, values: Iterable[Any], names: Iterable[str]) -> str:
        """The setting as it would be written to say what each value stands for."""
        pairs = [f"{text_of(value)}: {_yaml(name)}" for value, name in zip(values, names, strict=True)]
        more = [", ..."] if len(pairs) > _MOST_SHOWN else []
        return f"{self.setting.rpartition('.')[2]}: {{{', '.join(pairs[:_MOST_SHOWN])}{''.join(more)}}}"

    def read_as(self, reading: LabelReading) -> ClassNames:
        """The same classes with what numbers stand for decided."""
        return replace(self, reading=reading)


def _flag(value: Any) -> bool | None:
    """What an element of a vector of 0 and 1 says; None if it is none."""
    if _is_boolean(value):
        return _key(value)[1] == "true"
    number = _number(value)
    return bool(number) if number in (0, 1) else None


def _yaml(text: str) -> str:
    is_plain = _PLAIN_YAML.fullmatch(text) and text == text.strip() and text.lower() not in _YAML_WORDS
    return text if is_plain or text == "..." else json.dumps(text, ensure_ascii=False)


@dataclass
class LabelValues:
    """What a source has where its classes are, as far as it decides what numbers stand for."""

    classes: ClassNames
    path: str
    """The field."""
    named: str = ""
    """The first record that names a class."""
    numbers: dict[float, str] = field(default_factory=dict)
    """Numbers that spell no label, with the first record of each; of very many the first ones."""
    booleans: dict[str, str] = field(default_factory=dict)
    """Booleans that spell no label, with the first record of each."""
    vectors: str = ""
    """The first list that can only be a vector of 0 and 1, with its record."""
    repeats: str = ""
    """The first list that repeats a number and is no vector, with its record."""
    others: str = ""
    """The first list of numbers without repetition that is no vector, with its record."""
    undecided: str = ""
    """The first list that can be a vector and a list of two positions."""

    def add(self, where: str, value: Any) -> None:
        """Take note of the value of one record, or of one of its boxes."""
        if self.classes.spelled_by(value) is not None:
            self.named = self.named or where
            return
        number = _number(value)
        # Of more numbers than there are labels one cannot be a position, whichever are kept.
        if number is not None and len(self.numbers) < len(self.classes.names) + _MOST_NUMBERS:
            self.numbers.setdefault(number, where)
        elif number is None and _is_boolean(value):
            self.booleans.setdefault(_key(value)[1], where)

    def add_list(self, where: str, values: list[Any]) -> None:
        """Take note of the classes of one record, which has any number of them."""
        told, is_vector = f"{where}: field {self.path!r} is {values!r}", self.classes.is_vector(values)
        repeats = len({_key(one) for one in values}) < len(values)
        if values and is_vector and (repeats or any(map(_is_boolean, values))):
            self.vectors = self.vectors or told
            return
        if values and is_vector:
            self.undecided = self.undecided or told
        elif values and all(_number(one) is not None or _is_boolean(one) for one in values):
            if repeats:
                self.repeats = self.repeats or told
            else:
                self.others = self.others or told
        for one in values:
            self.add(where, one)

    def decide(self) -> LabelReading:
        """What the numbers of this source stand for; DataError if that cannot be known."""
        names = json.dumps(self.classes.names[:1], ensure_ascii=False)
        if self.vectors or self.repeats:
            other = self.repeats or self.others
            if self.vectors and not other and not self.named:
                return "vectors"
            beside = f" Beside it, {other}." if self.vectors and other else ""
            raise DataError(
                f"{self.vectors or self.repeats}. A list that repeats a number is no list of classes, and a vector "
                f"of 0 and 1 has a number for each of {self.classes.setting} ({len(self.classes.names)}) in each "
                f"record.{beside} Write the labels themselves, such as {names}"
            )
        if self.undecided and not self.others:
            raise DataError(
                f"{self.undecided}. With two labels that can be the positions of both, or a vector of 0 and 1 that "
                f"means one of them. Write the labels themselves, such as {names}"
            )
        if self.booleans:
            self._refuse("holds true or false, and no label is either", sorted(self.booleans))
        if not self.numbers or self.named:
            # Among labels a number is a mistake of its record.
            return "names"
        why = self._why_no_indices()
        if why:
            self._refuse(f"holds numbers, and {why}", sorted(self.numbers))
        return "indices"

    def _why_no_indices(self) -> str | None:
        """Why the numbers cannot be told to be positions, if so."""
        count, numbers = len(self.classes.names), sorted(self.numbers)
        if any(not isinstance(one, int) for one in numbers):
            return f"{next(one for one in numbers if not isinstance(one, int))} is no whole number"
        if numbers[0] < 0:
            return f"{numbers[0]} is below 0"
        if numbers[-1] >= count:
            return f"{numbers[-1]} cannot be a position from 0 to {count - 1}"
        if numbers[0] > 0:
            return "0 does not occur, so that they may count from 0 or from 1"
        for index, name in enumerate(self.classes.names):
            held = [int(digits) for digits in re.findall(r"\d+", name)]
            if any(one != index and one <= count for one in held):
                return f"label {name!r}, at position {index}, holds a number too"
        return None

    def _refuse(self, why: str, values: Sequence[Any]) -> None:
        classes = self.classes
        first = next(iter((self.booleans or self.numbers).values()))
        shown = ", ".join(map(str, values[:10])) + (", ..." if len(values) > 10 else "")
        raise DataError(
            f"{first}: field {self.path!r} {why} ({shown}; {classes.setting}: {', '.join(classes.names[:10])}"
            f"{', ...' if len(classes.names) > 10 else ''}). A wrong guess would train wrong labels without a sign. "
            f"Write what each value stands for:\n" + "\n".join(f"  {one}" for one in self._proposals(values))
        )

    def _proposals(self, values: Sequence[Any]) -> list[str]:
        """Mappings of which one is meant, or the frame of one."""
        classes, count = self.classes, len(self.classes.names)
        if self.booleans and count == 2:
            return [
                classes.mapping(order, classes.names)
                + f"  if true means {classes.names[order.index(True)]!r}"
                for order in ([False, True], [True, False])
            ]
        proposals = []
        held = [re.findall(r"\d+", name) for name in classes.names]
        if all(len(one) == 1 for one in held) and len({one[0] for one in held}) == count:
            numbers = [int(one[0]) for one in held]
            proposals.append(
                classes.mapping(numbers, classes.names) + "  if they are the numbers in the labels"
            )
        if values[0] == -1 and values[-1] < count:
            proposals.append(
                classes.mapping(range(count), classes.names)
                + "  if they count from 0 and -1 stands for no label (data.on_bad_rows: skip leaves those out)"
            )
        if not self.booleans and all(isinstance(one, int) for one in values):
            if values[0] >= 1 and values[-1] <= count:
                proposals.append(
                    classes.mapping(range(1, count + 1), classes.names) + "  if they count from 1"
                )
            if values[0] >= 0 and values[-1] < count:
                proposals.append(classes.mapping(range(count), classes.names) + "  if they count from 0")
        if len(values) == count and not any("count from" in one and values[0] >= 0 for one in proposals):
            proposals.insert(0, classes.mapping(values, classes.names) + "  if they are in this order")
        return proposals or [
            classes.mapping(values, ["..."] * len(values))
            + f"  with a name for each ({', '.join(classes.names)})"
        ]


def common_reading(sources: Sequence[LabelValues]) -> LabelReading:
    """What numbers stand for in all sources of an experiment; DataError if that cannot be known, or differs. Classes
    for which it was decided before, over more records, keep that."""
    for source in sources:
        if source.classes.reading != "names":
            return source.classes.reading
    readings = [source.decide() for source in sources]
    found = {reading for reading in readings if reading != "names"}
    mixed = [source for source in sources if source.named and source.numbers]
    if len(found) > 1 or (found and mixed):
        source = (mixed or sources)[0]
        raise DataError(
            f"field {source.path!r}: sources differ in what numbers stand for ({', '.join(readings)}"
            + (
                f"; {source.named} names its label, {next(iter(source.numbers.values()))} has a number"
                if mixed
                else ""
            )
            + f"). Write labels everywhere, or say what each value stands for in {source.classes.setting}"
        )
    return next(iter(found), "names")
