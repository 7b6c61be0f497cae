"""What goes into layers leaves the device and is back in time; that learning is the same; on a GPU, that it pays."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.kernels.fusion.test_patch import compare
from tests.model.families.pictures import FAMILIES, conversations
from tests.model.fixtures import tiny, train
from tests.tiny import tiny_seeing_model
from tunesmith.methods.lora import Lora
from tunesmith.model.activation_offload import Offload, _on_host, storing_with
from tunesmith.model.checkpointing import checkpoint
from tunesmith.model.trainable import make_trainable

WIDTH, ROWS = 8, 5


class Noted:
    """A copy beside the device, which notes what is asked of it."""

    notes: list[str]

    def __init__(self, rows: Tensor) -> None:
        self._rows = rows.clone()
        self._number = sum(note.startswith("away") for note in self.notes)
        self.notes.append(f"away {self._number}")

    def bring(self) -> Tensor:
        self.notes.append(f"back {self._number}")
        return self._rows.clone()

    def wait(self) -> None:
        self.notes.append(f"wait {self._number}")


@pytest.fixture
def notes(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    monkeypatch.setattr(Noted, "notes", [], raising=False)
    with storing_with(Noted):
        yield Noted.notes


def stack() -> list[nn.Module]:
    torch.manual_seed(0)
    return [nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.Dropout(0.5), nn.Tanh()) for _ in range(3)]


def gradients(layers: list[nn.Module], around: Any, times: int = 1) -> list[Tensor]:
    """Of the rows and all weights, after this many backward passes; `around` is called with each layer and its rows."""
    torch.manual_seed(1)
    first = rows = torch.randn(ROWS, WIDTH, requires_grad=True)
    for layer in layers:
        rows = around(layer, rows)
    wanted = [first, *(weight for layer in layers for weight in layer.parameters())]
    for number in range(times):
        found = torch.autograd.grad(rows.square().sum(), wanted, retain_graph=number < times - 1)
    return list(found)


def test_copies_go_beside_the_next_layer_and_come_beside_the_one_behind(notes: list[str]) -> None:
    gradients(stack(), Offload())
    forward = ["away 0", "away 1", "wait 0", "away 2", "wait 1"]
    # The last layer's rows have not left yet.
    backward = ["wait 2", "back 1", "wait 1", "back 0", "wait 0"]
    assert notes == forward + backward


def test_gradients_are_those_of_plain_layers_dropout_and_all(notes: list[str]) -> None:
    plain = gradients(stack(), lambda layer, rows: layer(rows))
    assert all(map(torch.equal, gradients(stack(), Offload()), plain))
    notes.clear()
    assert all(map(torch.equal, gradients(stack(), Offload(), times=2), plain))
    assert [notes.count(f"back {number}") for number in range(3)] == [2, 2, 1]


def test_memory_of_a_pass_that_is_given_up_is_not_taken_before_its_copies_are_made(notes: list[str]) -> None:
    offload, rows = Offload(), torch.randn(ROWS, WIDTH, requires_grad=True)
    for layer in stack():
        rows = offload(layer, rows)
    del rows
    assert notes == ["away 0", "away 1", "wait 0", "away 2", "wait 1", "wait 2"]


def test_every_pass_begins_anew(notes: list[str]) -> None:
    layers, offload = stack(), Offload()
    gradients(layers, offload)
    once = list(notes)
    notes.clear()
    gradients(layers, offload)
    assert notes == once


def test_a_model_learns_the_same(tmp_path: Path, notes: list[str]) -> None:
    losses = []
    for level in ("full", "offload"):
        trainable = make_trainable(tiny(tmp_path, device="cpu"), {"language": Lora(dropout=0.1)}, seed=0)
        checkpoint(trainable.loaded.model, level)
        torch.manual_seed(0)
        losses.append(train(trainable))
        assert bool(notes) is (level == "offload")
    assert losses[0] == losses[1]


@pytest.mark.parametrize("model_type", FAMILIES)
def test_so_do_models_that_see_layer_by_layer_of_both_parts(
    tmp_path: Path, notes: list[str], model_type: str
) -> None:
    place = tiny_seeing_model(tmp_path / "model", model_type)
    compare(place, conversations(tmp_path), sees=True, most=1e-6, level="offload")
    # Two layers of the tower and two of the language model.
    assert [notes.count(f"away {number}") for number in range(5)] == [1, 1, 1, 1, 0]
    assert "back 0" in notes


def test_on_a_cpu_nothing_is_copied() -> None:
    plain = gradients(stack(), lambda layer, rows: layer(rows))
    assert all(map(torch.equal, gradients(stack(), Offload()), plain))


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU reaches such memory")
def test_where_the_host_has_no_such_memory_rows_stay_and_it_is_said_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    plain = gradients(stack(), lambda layer, rows: layer(rows))
    with storing_with(_on_host):
        assert all(map(torch.equal, gradients(stack(), Offload()), plain))
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "activation checkpoints stay on the GPU" in caplog.text


@pytest.mark.skipif(not torch.cuda.is_available(), reason="copies are made for a GPU only")
def test_on_a_gpu_rows_leave_it_and_gradients_stay_the_same() -> None:
    torch.manual_seed(0)
    width, rows = 1024, 4096
    layers = [
        nn.Sequential(nn.Linear(width, width), nn.Dropout(0.1), nn.Tanh()).to("cuda") for _ in range(12)
    ]
    first = torch.randn(rows, width, device="cuda", requires_grad=True)
    found = []
    for around in (
        Offload(),
        lambda layer, rows: torch.utils.checkpoint.checkpoint(layer, rows, use_reentrant=False),
    ):
        torch.cuda.manual_seed(3)
        before = torch.cuda.memory_allocated()
        hidden = first
        for layer in layers:
            hidden = around(layer, hidden)
        kept = torch.cuda.memory_allocated() - before
        weights = [weight for layer in layers for weight in layer.parameters()]
        found.append((kept, torch.autograd.grad(hidden.square().sum(), [first, *weights])))
    (ours, of_ours), (theirs, of_theirs) = found
    assert all(map(torch.equal, of_ours, of_theirs))
    assert ours < 0.4 * theirs
