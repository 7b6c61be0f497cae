"""Inputs of layers that are done again, kept on the host until then.

They leave the GPU while the next layer is computed, and come back while the layer behind them is done again, so that
the products need not wait for them.
"""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint


class Stored(Protocol):
    """A tensor's copy beside the device."""

    def bring(self) -> Tensor:
        """Begin to copy it back."""

    def wait(self) -> None:
        """Let what the device does from now on come after the latest copy, there or back."""


_store: ContextVar[Callable[[Tensor], Stored] | None] = ContextVar("store", default=None)


@contextmanager
def storing_with(store: Callable[[Tensor], Stored]) -> Iterator[None]:
    """Within it, layer inputs on any device are stored by this function; else those on a GPU are, in pinned memory."""
    token = _store.set(store)
    try:
        yield
    finally:
        _store.reset(token)


def _store_for(device: torch.device) -> Callable[[Tensor], Stored] | None:
    """What begins to copy a tensor away from this device; None if nothing is to be gained."""
    return _store.get() or (_on_host if device.type == "cuda" else None)


class Offload:
    """In the place of PyTorch's checkpoint: of a layer's inputs the first, which is its stream, leaves the device."""

    def __init__(self) -> None:
        self._latest: weakref.ref[_Kept] | None = None

    def __call__(self, layer: Callable[..., Any], *given: Any) -> Any:
        """What the layer gives."""
        store = _store_for(given[0].device) if given else None
        if store is None:
            return checkpoint(layer, *given, use_reentrant=False)
        rows, *more = given
        kept = _Kept(rows, store, None if self._latest is None else self._latest())

        # By the empty tensor PyTorch knows whose random numbers it has to keep.
        def run(_: Tensor, *more: Any) -> Any:
            return layer(kept.rows(), *more)

        out = checkpoint(run, rows.new_empty(0), *more, use_reentrant=False)
        kept.leave()
        self._latest = weakref.ref(kept)
        return out


class _Kept:
    """What goes into one layer."""

    def __init__(self, rows: Tensor, store: Callable[[Tensor], Stored], before: _Kept | None) -> None:
        """`before` is what went into the layer before."""
        self._store = store
        self._here: Tensor | None = rows
        self._needs_gradient = rows.requires_grad
        # For as long as a backward pass may come to it.
        self._before = None if before is None else weakref.ref(before)
        self._stored: Stored | None = None

    def __del__(self) -> None:
        """Let whoever is given this memory next come after a copy that nobody waited for."""
        if self._here is not None and self._stored is not None:
            self._stored.wait()

    def rows(self) -> Tensor:
        """For the layer: the first time what it was given, and then the same back from the host."""
        if self._stored is None:
            assert self._here is not None
            return self._here
        rows = self.come()
        self._stored.wait()
        self._here = None
        if before := self._neighbour():
            before.come()
        return rows.detach().requires_grad_(self._needs_gradient)

    def leave(self) -> None:
        """Begin to copy it away. The one before is away by now, and no longer kept here."""
        assert self._here is not None
        self._stored = self._store(self._here.detach())
        if before := self._neighbour():
            before._let_go()

    def come(self) -> Tensor:
        """Begin to copy it back, unless it is here."""
        assert self._stored is not None
        if self._here is None:
            self._here = self._stored.bring()
        return self._here

    def _let_go(self) -> None:
        assert self._stored is not None
        self._stored.wait()
        self._here = None

    def _neighbour(self) -> _Kept | None:
        return None if self._before is None else self._before()


@cache
def _lane(device: torch.device) -> torch.cuda.Stream:
    """A stream for copies alone."""
    return torch.cuda.Stream(device)


class _Pinned:
    """In memory of the host that a GPU reaches by itself."""

    def __init__(self, rows: Tensor) -> None:
        self._device = rows.device
        self._host = torch.empty(rows.shape, dtype=rows.dtype, pin_memory=True)
        self._done = self._copy(self._host, rows)

    def bring(self) -> Tensor:
        """See `Stored`."""
        rows = torch.empty(self._host.shape, dtype=self._host.dtype, device=self._device)
        self._done = self._copy(rows, self._host)
        return rows

    def wait(self) -> None:
        """See `Stored`."""
        torch.cuda.current_stream(self._device).wait_event(self._done)

    def _copy(self, place: Tensor, of: Tensor) -> torch.cuda.Event:
        lane = _lane(self._device)
        lane.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(lane):
            place.copy_(of, non_blocking=True)
        return lane.record_event()


class _Here:
    """No copy at all."""

    def __init__(self, rows: Tensor) -> None:
        self._rows = rows

    def bring(self) -> Tensor:
        """See `Stored`."""
        return self._rows

    def wait(self) -> None:
        """See `Stored`."""


def _on_host(rows: Tensor) -> Stored:
    try:
        return _Pinned(rows)
    except RuntimeError as error:
        _tell(str(error).strip().partition("\n")[0])
        return _Here(rows)


@cache
def _tell(why: str) -> None:
    """Once, and not for every layer."""
    logging.getLogger(__name__).warning(
        "pinned host memory is exhausted; activation checkpoints stay on the GPU: %s", why
    )
