import random

import numpy as np
import pytest
import torch

from tunesmith.pipeline.determinism import seed_everything, use_deterministic_mode


def drawn() -> tuple[float, float, float]:
    return random.random(), float(np.random.random()), torch.rand(()).item()


@pytest.mark.parametrize("seed", [0, 17, 2**32 + 5])
def test_the_same_seed_repeats_what_python_numpy_and_torch_draw(seed: int) -> None:
    seed_everything(seed)
    first = drawn()
    between = drawn()
    seed_everything(seed)
    assert drawn() == first != between


def test_another_seed_draws_other_numbers_everywhere() -> None:
    seed_everything(1)
    one = drawn()
    seed_everything(2)
    assert all(here != there for here, there in zip(one, drawn(), strict=True))


def test_kernels_with_a_fixed_order_are_asked_for_but_others_are_not_forbidden() -> None:
    use_deterministic_mode()
    assert torch.are_deterministic_algorithms_enabled()
    assert torch.is_deterministic_algorithms_warn_only_enabled()
    use_deterministic_mode(False)
    assert not torch.are_deterministic_algorithms_enabled()
