"""Map over items with prefetching: the tokenizer encodes one run of them while the chat template writes the next."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

from tunesmith.errors import DataError

RUN = 256
"""Number of items that are encoded together."""
PREFETCHED = 2
"""Runs that wait to be encoded, so that the encoding thread is never idle."""

Item = TypeVar("Item")
Result = TypeVar("Result")


def prefetched_map(items: Iterable[Item], work: Callable[[list[Item]], list[Result]]) -> Iterator[Result]:
    """Yield the results of `work` over the items, in order.

    `work` is called in another thread with runs of `RUN` items while the next items are taken; a shorter run is worked
    on in the calling thread. A DataError raised by an item is raised after the results of all items before it.
    """
    taken = iter(items)
    waiting: deque[Future[list[Result]]] = deque()
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="rendering") as worker:
        run, fault = _take(taken)
        while len(run) == RUN:
            waiting.append(worker.submit(work, run))
            if len(waiting) > PREFETCHED:
                yield from waiting.popleft().result()
            run, fault = _take(taken)
        for done in waiting:
            yield from done.result()
    if run:
        yield from work(run)
    if fault is not None:
        raise fault


def _take(items: Iterator[Item]) -> tuple[list[Item], DataError | None]:
    """The next run, and the DataError that ended it early, if any."""
    run: list[Item] = []
    try:
        # Items taken before the error stay in the list.
        run.extend(islice(items, RUN))
    except DataError as fault:
        return run, fault
    return run, None
