import math

import pytest
import torch
from transformers import get_cosine_schedule_with_warmup, get_linear_schedule_with_warmup

from tunesmith.train.schedule import factor, warmup_steps


@pytest.mark.parametrize(
    ("shape", "reference"),
    [("linear", get_linear_schedule_with_warmup), ("cosine", get_cosine_schedule_with_warmup)],
)
def test_after_the_warmup_the_learning_rate_is_that_of_transformers(shape: str, reference: object) -> None:
    weight = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([weight], lr=1.0)
    scheduler = reference(optimizer, 5, 50)  # type: ignore[operator]
    for step in range(50):
        if step >= 5:
            assert factor(step, 50, 5, shape) == pytest.approx(scheduler.get_last_lr()[0])  # type: ignore[arg-type]
        optimizer.step()
        scheduler.step()


def test_the_warmup_rises_from_above_zero_to_the_peak() -> None:
    rates = [factor(step, 100, 4, "constant") for step in range(6)]
    assert rates == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0, 1.0])


def test_the_first_update_of_a_warmup_is_not_wasted_on_a_rate_of_zero() -> None:
    assert factor(0, 10, 5, "linear") > 0


def test_a_warmup_is_a_share_or_a_number_and_never_longer_than_the_stage() -> None:
    assert warmup_steps(0.03, 1000) == 30
    assert warmup_steps(0.03, 10) == 1
    assert warmup_steps(0, 10) == 0
    assert warmup_steps(500, 10) == 10


def test_linear_and_cosine_end_at_zero() -> None:
    assert factor(10, 10, 0, "linear") == 0
    assert math.isclose(factor(10, 10, 0, "cosine"), 0, abs_tol=1e-12)
