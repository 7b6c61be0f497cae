import pytest
import torch
from torch import nn

from tunesmith.config.experiment import Optimizer
from tunesmith.model.trainable import Group
from tunesmith.train.optimizer import build_optimizer, set_learning_rate


def group(part: str, learning_rate: float | None = None) -> Group:
    weights = {
        f"{part}.weight": nn.Parameter(torch.ones(300, 300)),
        f"{part}.norm": nn.Parameter(torch.ones(4)),
    }
    return Group(part, "full", learning_rate, weights)


def test_norms_and_biases_do_not_decay() -> None:
    optimizer = build_optimizer([group("language")], Optimizer(weight_decay=0.1))
    decays = {
        tuple(weight.shape): each["weight_decay"]
        for each in optimizer.param_groups
        for weight in each["params"]
    }
    assert decays == {(300, 300): 0.1, (4,): 0.0}


def test_a_part_has_its_own_learning_rate_and_follows_the_same_schedule() -> None:
    optimizer = build_optimizer([group("language"), group("head", 0.5)], Optimizer(learning_rate=0.1))
    assert set_learning_rate(optimizer, 0.5) == pytest.approx(0.05)
    rates = [each["lr"] for each in optimizer.param_groups]
    assert rates == pytest.approx([0.05, 0.05, 0.25, 0.25])


@pytest.mark.parametrize("kind", ["adamw", "adamw-8bit", "adafactor"])
def test_every_optimizer_moves_the_weights_and_keeps_its_state(kind: str) -> None:
    given = group("language")
    optimizer = build_optimizer([given], Optimizer(kind=kind, learning_rate=0.1))  # type: ignore[arg-type]
    for weight in given.parameters.values():
        weight.grad = torch.ones_like(weight)
    optimizer.step()
    assert all((weight < 1).all() for weight in given.parameters.values())
    assert len(optimizer.state_dict()["state"]) == 2


@pytest.mark.filterwarnings("ignore:.*[Pp]aged.*")
def test_the_paged_optimizer_works_on_a_cpu_without_paging() -> None:
    given = group("language")
    optimizer = build_optimizer([given], Optimizer(kind="paged-adamw-8bit", learning_rate=0.1))
    for weight in given.parameters.values():
        weight.grad = torch.ones_like(weight)
    optimizer.step()
    assert (given.parameters["language.weight"] < 1).all()
