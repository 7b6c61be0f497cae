from __future__ import annotations

import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from tunesmith.forecast.memory_tracker import MemoryTracker, rounded

KIB = 1024


def test_what_nothing_refers_to_any_more_is_not_counted() -> None:
    with FakeTensorMode():
        weight = torch.empty(KIB, dtype=torch.uint8)
        with MemoryTracker([weight]) as alive:
            assert alive.now.bytes == KIB
            other = weight + 1
            view = other[:10]
            assert alive.now.bytes == 2 * KIB
            del other
            assert alive.now.bytes == 2 * KIB
            del view
    assert (alive.now.bytes, alive.peak.bytes) == (KIB, 2 * KIB)


def test_the_peak_is_that_since_it_was_forgotten() -> None:
    with FakeTensorMode(), MemoryTracker([]) as alive:
        large = torch.empty(4 * KIB, dtype=torch.uint8)
        del large
        alive.reset_peak()
        small = torch.empty(KIB, dtype=torch.uint8)
        assert alive.peak.bytes == small.nbytes


def test_a_gradient_counts_once_however_often_it_is_added_to() -> None:
    with FakeTensorMode():
        weight = torch.empty(KIB, requires_grad=True)
        alive = MemoryTracker([weight])
        alive.track_gradients([weight])
        with alive:
            for _ in range(2):
                (weight * 2).sum().backward()
                assert alive.now.gradients == 4 * KIB
    assert alive.now.bytes == 8 * KIB


def test_the_arithmetic_is_that_of_the_products_forward_and_backward() -> None:
    with FakeTensorMode():
        layer = torch.nn.Linear(30, 50)
        with MemoryTracker(layer.parameters()) as alive:
            layer(torch.empty(7, 30, requires_grad=True)).sum().backward()
    assert alive.flop == 3 * 2 * 7 * 30 * 50


def test_sizes_are_those_that_the_allocator_gives() -> None:
    assert [rounded(size) for size in (0, 1, 512, 513)] == [0, 512, 512, 1024]
