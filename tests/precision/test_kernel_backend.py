"""Selection of shapes-only operations."""

from __future__ import annotations

import threading

import pytest

from tunesmith.precision.kernel_backend import is_shapes_only, shapes_only


def test_shapes_only_ends_with_its_block_even_after_an_error() -> None:
    def fail() -> None:
        with shapes_only():
            assert is_shapes_only()
            raise ValueError("inside")

    with pytest.raises(ValueError, match="inside"):
        fail()
    assert not is_shapes_only()


def test_a_forecast_does_not_stop_computation_in_another_thread() -> None:
    seen: list[bool] = []
    with shapes_only():
        thread = threading.Thread(target=lambda: seen.append(is_shapes_only()))
        thread.start()
        thread.join()
    assert seen == [False]
