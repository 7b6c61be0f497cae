"""What checks tunesmith's signatures, shapes of arrays and tensors among them, at every call of a test."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from beartype import BeartypeConf, beartype
from beartype.roar import BeartypeDecorHintException

_INT_IS_FLOAT = BeartypeConf(is_pep484_tower=True)
"""As mypy has it: where a signature says float, an int will do (PEP 484)."""


def checked(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function with its arguments and result checked by beartype; as it is if a hint cannot be
    checked, such as pydantic's `ValidationInfo`."""
    try:
        return beartype(conf=_INT_IS_FLOAT)(function)
    except BeartypeDecorHintException:
        return function
