from __future__ import annotations

import threading
import time

from tunesmith.images.budget import PixelBudget


def test_threads_never_hold_more_pixels_than_the_budget_unless_one_picture_alone_does() -> None:
    budget, lock, held, most = PixelBudget(100), threading.Lock(), [0], [0]

    def work(size: int) -> None:
        with budget.reserve(size):
            with lock:
                held[0] += size
                most.append(held[0])
            time.sleep(0.001)
            with lock:
                if size > 100:
                    assert held[0] == size
                held[0] -= size

    threads = [threading.Thread(target=work, args=(size,)) for size in (60, 30, 10, 250, 100, 1, 99) * 4]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(one for one in most if one != 250) <= 100
    assert most.count(250) == 4


def test_pixels_are_given_back_after_an_error() -> None:
    budget = PixelBudget(10)
    for _ in range(3):
        try:
            with budget.reserve(10):
                raise ValueError("broken")
        except ValueError:
            pass
    with budget.reserve(10):
        pass
