"""Many conversations become examples: the tokenizer's threads encode some while the chat template writes the next."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

from tunesmith.errors import DataError

RUN = 256
"""Conversations that are encoded together."""
AHEAD = 2
"""Runs that wait to be encoded, so that the thread which encodes never waits itself."""

Item = TypeVar("Item")
Result = TypeVar("Result")


def ahead(items: Iterable[Item], work: Callable[[list[Item]], list[Result]]) -> Iterator[Result]:
    """What `work` makes of the items, in their order. It is given runs of them, in another thread while the next items
    are taken; fewer than a run are worked on at once. What is wrong with an item (DataError) is raised after the
    results of all items before it, and so never hides what is wrong with one of those."""
    taken = iter(items)
    waiting: deque[Future[list[Result]]] = deque()
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="rendering") as worker:
        run, fault = _take(taken)
        while len(run) == RUN:
            waiting.append(worker.submit(work, run))
            if len(waiting) > AHEAD:
                yield from waiting.popleft().result()
            run, fault = _take(taken)
        for done in waiting:
            yield from done.result()
    if run:
        yield from work(run)
    if fault is not None:
        raise fault


def _take(items: Iterator[Item]) -> tuple[list[Item], DataError | None]:
    """The next run, which is shorter than others if it is the last, and what ended it too early."""
    run: list[Item] = []
    try:
        # What was taken before a fault stays in the list.
        run.extend(islice(items, RUN))
    except DataError as fault:
        return run, fault
    return run, None
