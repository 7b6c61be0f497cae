import pytest
import torch

from tunesmith.train.observers import Update
from tunesmith.train.pending_update import CudaTimer, PendingUpdate


def note(loss: float, gradient_norm: float, seconds: float) -> Update:
    return Update("adapt", 1, 2, 0.5, loss, 1e-4, gradient_norm, 8, 4, seconds, 1.0)


@pytest.mark.parametrize(
    "device",
    ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU"))],
)
def test_its_result_is_what_it_came_to_however_often_it_is_asked_for(device: str) -> None:
    watch = CudaTimer(torch.device(device))
    numbers = torch.tensor([1.5, 0.5], device=device)
    underway = PendingUpdate(note, watch, numbers)
    assert (underway.result().loss, underway.result().gradient_norm) == (1.5, 0.5)


def test_what_comes_after_an_update_is_not_counted_as_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter([10.0, 12.0, 50.0])
    monkeypatch.setattr("time.perf_counter", lambda: next(now))
    watch = CudaTimer(torch.device("cpu"))
    underway = PendingUpdate(note, watch, torch.tensor([1.5, 0.5]))
    assert underway.result().seconds == 2.0
