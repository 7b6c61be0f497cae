"""A budget of pixels that all decoding threads of a process share, so that memory does not grow with their number."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

PIXELS_AT_ONCE = 2**26
"""Pixels that are decoded at the same time: decoding takes about 5 to 30 bytes for each."""


class PixelBudget:
    """Lets threads decode as long as the pixels in progress stay within the budget; a larger picture waits until it
    is alone."""

    def __init__(self, num_pixels: int = PIXELS_AT_ONCE) -> None:
        self._most = num_pixels
        self._in_use = 0
        self._freed = threading.Condition()

    @contextmanager
    def reserve(self, num_pixels: int) -> Iterator[None]:
        """Hold this many pixels of the budget within the block; wait for them first."""
        with self._freed:
            self._freed.wait_for(lambda: not self._in_use or self._in_use + num_pixels <= self._most)
            self._in_use += num_pixels
        try:
            yield
        finally:
            with self._freed:
                self._in_use -= num_pixels
                self._freed.notify_all()
