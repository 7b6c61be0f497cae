"""Every test checks the signatures that it calls: types, and shapes of arrays against one another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from beartype.roar import BeartypeCallHintViolation
from jaxtyping import Int, TypeCheckError

from tests.checked import checked, jaxtyped
from tunesmith.errors import did_you_mean
from tunesmith.split.assign import Choice

if TYPE_CHECKING:
    from somewhere import NotLoaded


def test_a_wrong_type_is_found_in_tunesmith() -> None:
    wrong: Any = 3
    with pytest.raises(BeartypeCallHintViolation):
        did_you_mean(wrong, ["a"])


def test_shapes_that_do_not_fit_are_found_in_tunesmith() -> None:
    with pytest.raises(TypeCheckError):
        Choice(np.zeros(2, np.uint64), np.zeros(3, np.int64), np.zeros(2, np.int64), 1)


def test_results_are_checked_too() -> None:
    def wrong(value: int) -> str:
        return value  # type: ignore[return-value]

    with pytest.raises(BeartypeCallHintViolation):
        jaxtyped(typechecker=checked)(wrong)(1)


def test_a_shape_in_the_result_is_that_of_the_argument() -> None:
    def cut(values: Int[np.ndarray, " value"]) -> Int[np.ndarray, " value"]:
        return values[1:]

    with pytest.raises(TypeCheckError):
        jaxtyped(typechecker=checked)(cut)(np.zeros(2, np.int64))


def test_what_is_imported_for_type_checkers_alone_may_be_anything_but_the_rest_is_checked() -> None:
    def one(value: NotLoaded, count: int) -> int:
        return count

    assert jaxtyped(typechecker=checked)(one)("any", 2) == 2
    with pytest.raises(BeartypeCallHintViolation):
        jaxtyped(typechecker=checked)(one)("any", "two")
