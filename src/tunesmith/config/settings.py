"""What every settings class is: frozen, closed to unknown keys, and documented field by field."""

from __future__ import annotations

import ast
import inspect
import math
import re
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainSerializer, WithJsonSchema


@cache
def docstrings(settings: type[BaseModel]) -> dict[str, str]:
    """What the docstring under each field says, by the field's name; fields of base classes too.

    Read from the source when it is asked for. Pydantic's `use_attribute_docstrings` does so for every class
    at import, which is a third of the time that reading an experiment takes.
    """
    texts: dict[str, str] = {}
    for owner in reversed(settings.__mro__):
        if issubclass(owner, BaseModel) and owner is not BaseModel:
            texts |= _docstrings_in(inspect.getsource(inspect.getmodule(owner) or owner), owner.__name__)
    return texts


def _docstrings_in(source: str, class_name: str) -> dict[str, str]:
    classes = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ClassDef))
    body = next((node.body for node in classes if node.name == class_name), [])
    texts = {}
    for field, text in pairwise(body):
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(text, ast.Expr)
        ):
            texts[field.target.id] = inspect.cleandoc(ast.literal_eval(text.value))
    return texts


def _describe(schema: dict[str, Any], settings: type[BaseModel]) -> None:
    for name, text in docstrings(settings).items():
        if name in settings.model_fields:
            schema["properties"][settings.model_fields[name].alias or name]["description"] = text


class Settings(BaseModel):
    """Base of all settings: unknown keys are faults, values never change after reading."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        validate_default=True,
        populate_by_name=True,
        allow_inf_nan=False,
        protected_namespaces=(),
        json_schema_extra=_describe,
    )


class ImpossibleError(ValueError):
    """Settings that are each right but cannot stand together. A validator raises it with all that it found.

    Holds pairs of a dotted path, as seen from the validated class, and what is wrong there.
    """

    def __init__(self, *faults: tuple[str, str]) -> None:
        super().__init__("; ".join(f"{path}: {what}" for path, what in faults))
        self.faults = faults


@dataclass(frozen=True)
class Duration:
    """A length of training with its unit, written `200 steps` or `0.5 epochs`.

    >>> parse_duration("200 steps")
    Duration(count=200.0, unit='steps')
    """

    count: float
    unit: Literal["steps", "epochs"]

    def steps(self, steps_per_epoch: int) -> int:
        """Number of updates (at least 1) when an epoch has `steps_per_epoch` of them."""
        updates = self.count if self.unit == "steps" else self.count * steps_per_epoch
        return max(1, round(updates))

    def __str__(self) -> str:
        return f"{self.count:g} {self.unit[:-1] if self.count == 1 else self.unit}"


def parse_duration(value: Any) -> Duration:
    """The duration that a text such as `1 epoch` names; ValueError says what is possible."""
    if isinstance(value, Duration):
        return value
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(step|epoch)s?\s*", str(value))
    if not match or float(match[1]) <= 0 or (match[2] == "step" and not float(match[1]).is_integer()):
        raise ValueError("must be a number with its unit, such as '200 steps' or '0.5 epochs'")
    return Duration(float(match[1]), "steps" if match[2] == "step" else "epochs")


DurationText = Annotated[
    Duration,
    BeforeValidator(parse_duration),
    PlainSerializer(str, return_type=str),
    WithJsonSchema({"type": "string", "examples": ["200 steps", "0.5 epochs"]}),
]

FloatOrNull = Annotated[float, BeforeValidator(lambda value: math.nan if value is None else value)]
"""A number of a JSON file, where null stands for NaN."""

FieldNames = Annotated[
    list[str],
    BeforeValidator(
        lambda value: [value] if isinstance(value, str) else value, json_schema_input_type=str | list[str]
    ),
]
"""Names of record fields; a single one may stand without a list."""
