"""Conditions on records, such as `stage == 2 and kind in ["a", "b"]`: parsed, never evaluated as Python."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from typing import Any

from tunesmith.errors import DataError, ExperimentError, did_you_mean
from tunesmith.records.record import Record

_Value = Callable[[Record], Any]

_POSSIBLE = (
    "field == value, !=, <, <=, >, >=, in [...], not in [...], joined by and, or, not, and parentheses"
)
_WORDS = {"true": True, "false": False, "null": None}
_ORDERS: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge,
}  # fmt: skip


def compile_filter(text: str) -> Callable[[Record], bool]:
    """A function that says whether the condition holds for a record. ExperimentError if the text is no
    condition; the function raises DataError if a record lacks a field, or has a value that cannot be
    compared.

    A number and a text that states a number are compared as numbers, and so are true and false, since all values of
    a CSV file are texts. A dot goes into an object: `meta.stage`.

    >>> compile_filter("stage == 2 and kind in ['a', 'b']")(Record("x:1", {"stage": 2, "kind": "b"}))
    True
    """
    try:
        body = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        reason = error.msg if isinstance(error, SyntaxError) else str(error)
        raise ExperimentError(
            f"where: {text!r} is not a condition ({reason}). Possible: {_POSSIBLE}."
        ) from error
    return _Parser(text).condition(body)


class _Parser:
    """Turns a syntax tree into functions of a record, refusing all that is not on the short list."""

    def __init__(self, text: str) -> None:
        self._text = text

    def condition(self, node: ast.expr) -> Callable[[Record], bool]:
        """The condition that a node states."""
        match node:
            case ast.BoolOp(op=ast.And(), values=values):
                parts = [self.condition(value) for value in values]
                return lambda record: all(part(record) for part in parts)
            case ast.BoolOp(values=values):
                parts = [self.condition(value) for value in values]
                return lambda record: any(part(record) for part in parts)
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                denied = self.condition(operand)
                return lambda record: not denied(record)
            case ast.Compare(left=left, ops=[op], comparators=[right]):
                return self._comparison(left, op, right)
        raise self._fault(node)

    def _comparison(self, left: ast.expr, op: ast.cmpop, right: ast.expr) -> Callable[[Record], bool]:
        if not any(
            isinstance(node, ast.Name | ast.Attribute) and _dotted(node) not in _WORDS
            for node in (left, right)
        ):
            raise ExperimentError(
                f"where: {self._text!r} names no field in {ast.unparse(left)!r}. Possible: {_POSSIBLE}."
            )
        one, other = self._value(left), self._value(right)
        match op:
            case ast.Eq():
                return lambda record: _equal(one(record), other(record))
            case ast.NotEq():
                return lambda record: not _equal(one(record), other(record))
            case ast.In():
                return lambda record: self._among(record, one(record), other(record))
            case ast.NotIn():
                return lambda record: not self._among(record, one(record), other(record))
        if type(op) not in _ORDERS:
            raise self._fault(left)
        before = _ORDERS[type(op)]
        return lambda record: self._ordered(record, before, one(record), other(record))

    def _value(self, node: ast.expr) -> _Value:
        match node:
            case ast.Constant(value=str() | int() | float() | None):
                constant = node.value
                return lambda record: constant
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as number)):
                return lambda record: -number
            case ast.List(elts=elements) | ast.Tuple(elts=elements):
                items = [self._value(element) for element in elements]
                return lambda record: [item(record) for item in items]
            case ast.Name(id=name) if name in _WORDS:
                return lambda record: _WORDS[name]
            case ast.Name() | ast.Attribute():
                path = _dotted(node)
                if path:
                    return lambda record: self._field(record, path)
        raise self._fault(node)

    def _field(self, record: Record, path: str) -> Any:
        if path in record.fields:
            return record.fields[path]
        value: Any = record.fields
        for name in path.split("."):
            if not isinstance(value, Mapping) or name not in value:
                possible = list(value) if isinstance(value, Mapping) else []
                raise DataError(
                    f"{record.id}: where {self._text!r}: there is no field {path!r} "
                    f"(fields: {', '.join(possible) or 'none'})." + did_you_mean(name, possible)
                )
            value = value[name]
        return value

    def _ordered(self, record: Record, before: Callable[[Any, Any], bool], left: Any, right: Any) -> bool:
        left, right = _alike(left, right)
        try:
            return before(left, right)
        except TypeError as error:
            raise DataError(
                f"{record.id}: where {self._text!r}: {left!r} and {right!r} cannot be put in order; "
                "compare numbers with numbers and texts with texts."
            ) from error

    def _among(self, record: Record, value: Any, many: Any) -> bool:
        if isinstance(many, str) and isinstance(value, str):
            return value in many
        if not isinstance(many, list):
            raise DataError(
                f"{record.id}: where {self._text!r}: `in` wants a list such as [1, 2], not {many!r}."
            )
        return any(_equal(value, item) for item in many)

    def _fault(self, node: ast.expr) -> ExperimentError:
        return ExperimentError(
            f"where: {self._text!r}: {ast.unparse(node)!r} cannot stand here. Possible: {_POSSIBLE}."
        )


def _dotted(node: ast.expr) -> str:
    """`a.b` of the tree of `a.b`; nothing if it is not made of names and dots alone."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        before = _dotted(node.value)
        return before and f"{before}.{node.attr}"
    return ""


def _equal(left: Any, right: Any) -> bool:
    left, right = _alike(left, right)
    return bool(left == right)


def _alike(left: Any, right: Any) -> tuple[Any, Any]:
    """Both as numbers, if one is a number or a truth value and the other a text with one."""
    if isinstance(left, str) and isinstance(right, int | float):
        return _number(left), right
    if isinstance(right, str) and isinstance(left, int | float):
        return left, _number(right)
    return left, right


def _number(text: str) -> Any:
    truth = {"true": True, "false": False}.get(text.strip().lower())
    if truth is not None:
        return truth
    try:
        return float(text)
    except ValueError:
        return text
