"""What checks tunesmith's signatures, shapes of arrays and tensors among them, at every call of a test."""

from __future__ import annotations

import typing
from collections.abc import Callable
from types import FunctionType
from typing import Any

import jaxtyping
from beartype import BeartypeConf, beartype
from beartype.roar import BeartypeDecorHintException

_INT_IS_FLOAT = BeartypeConf(is_pep484_tower=True)
"""As mypy has it: where a signature says float, an int will do (PEP 484)."""
_WITH_SHAPES = jaxtyping.jaxtyped
_ARRAYS = ("jaxtyping.", "np.ndarray", "Tensor")


def checked(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function with its arguments and result checked by beartype; as it is if a hint cannot be
    checked, such as pydantic's `ValidationInfo`."""
    try:
        return beartype(conf=_INT_IS_FLOAT)(function)
    except BeartypeDecorHintException:
        return function


def jaxtyped(*, typechecker: Callable[..., Any]) -> Callable[..., Any]:
    """As `jaxtyping.jaxtyped`, but a function without arrays in its signature is spared what binds their shapes to
    one another, which takes ten times as long as its check does."""

    def decorate(one: Any) -> Any:
        if not isinstance(one, FunctionType):
            return _WITH_SHAPES(one, typechecker=typechecker)
        hints = {name: _resolved(hint, one) for name, hint in one.__annotations__.items()}
        # An array may stand under a name of its own, or be known to type checkers alone.
        told = [str(hint) for hint in (*one.__annotations__.values(), *hints.values())]
        if any(array in hint for hint in told for array in _ARRAYS):
            return _WITH_SHAPES(one, typechecker=typechecker)
        one.__annotations__ = hints
        return typechecker(one)

    return decorate


def _resolved(hint: Any, function: FunctionType) -> Any:
    """The type that a hint names, or Any if it is imported for type checkers alone, as jaxtyping has it."""

    def holder() -> None: ...

    holder.__annotations__ = {"value": hint}
    try:
        return typing.get_type_hints(holder, function.__globals__, include_extras=True)["value"]
    except Exception:
        return Any
