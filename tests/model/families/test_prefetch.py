"""Runs of conversations on their way to examples."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunesmith.errors import DataError
from tunesmith.model.families import _prefetch
from tunesmith.model.families._prefetch import PREFETCHED, RUN, prefetched_map


def doubled(run: list[int]) -> list[int]:
    return [2 * item for item in run]


@given(st.integers(0, 5 * RUN))
def test_nothing_is_lost_doubled_or_moved(number: int) -> None:
    assert list(prefetched_map(range(number), doubled)) == [2 * item for item in range(number)]


@pytest.mark.parametrize("place", [0, 3, RUN - 1, RUN, 3 * RUN + 1])
def test_what_is_wrong_with_an_item_comes_after_all_results_before_it(place: int) -> None:
    def items() -> Iterator[int]:
        yield from range(place)
        raise DataError(f"a:{place}: is wrong")

    results = prefetched_map(items(), doubled)
    assert [next(results) for _ in range(place)] == [2 * item for item in range(place)]
    with pytest.raises(DataError, match=f"a:{place}: is wrong"):
        next(results)


@pytest.mark.parametrize(("first", "second"), [(5, 7), (5, RUN + 7), (RUN + 1, 3 * RUN)])
def test_a_fault_found_late_is_not_hidden_by_a_later_record_whose_fault_is_found_early(
    first: int, second: int
) -> None:
    def items() -> Iterator[int]:
        yield from range(second)
        raise DataError(f"a:{second}: is wrong")

    def work(run: list[int]) -> list[int]:
        if first in run:
            raise DataError(f"a:{first}: is wrong")
        return run

    with pytest.raises(DataError, match=f"a:{first}: is wrong"):
        list(prefetched_map(items(), work))


def test_only_a_few_runs_are_held_however_many_items_there_are() -> None:
    taken = 0

    def items() -> Iterator[int]:
        nonlocal taken
        for item in range(100 * RUN):
            taken += 1
            yield item

    for given_back, _ in enumerate(islice(prefetched_map(items(), doubled), 50 * RUN), 1):
        assert taken - given_back < (PREFETCHED + 2) * RUN


def test_a_single_conversation_starts_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    threads = []

    def work(run: list[int]) -> list[int]:
        threads.append(threading.current_thread())
        return run

    monkeypatch.setattr(_prefetch, "RUN", 2)
    assert list(prefetched_map([1], work)) == [1]
    assert threads == [threading.main_thread()]
    assert list(prefetched_map([1, 2, 3], work)) == [1, 2, 3]
    assert threads[1].name.startswith("rendering")
    assert not threads[1].is_alive()
