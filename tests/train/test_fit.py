from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch

from tests.train.small import examples, stage, trainable
from tunesmith.batching.batch import Batch
from tunesmith.config.experiment import Optimizer
from tunesmith.errors import ModelError
from tunesmith.model.loaded import LoadedModel
from tunesmith.model.saving import trained_state
from tunesmith.train.batch_plan import BatchPlan
from tunesmith.train.fit import fit
from tunesmith.train.loss import AnswerLoss, answer_loss
from tunesmith.train.observers import Update
from tunesmith.train.optimizer import build_optimizer
from tunesmith.train.pending_update import PendingUpdate

SETTINGS = Optimizer(learning_rate=1e-2)


def noted(updates: Iterable[PendingUpdate]) -> list[Update]:
    """All of them, done."""
    return [one.result() for one in updates]


def trained(
    folder: Path, tokens_per_device: int, examples_of: int = 24
) -> tuple[list[float], dict[str, torch.Tensor]]:
    model = trainable(folder, dropout=0.0)
    updates = BatchPlan("adapt", examples(examples_of), 8, tokens_per_device, steps=6, seed=1)
    notes = noted(fit(model, updates, build_optimizer(model.groups, SETTINGS), SETTINGS, answer_loss))
    return [note.loss for note in notes], trained_state(model)


def test_how_an_update_is_cut_into_micro_batches_changes_neither_loss_nor_weights(tmp_path: Path) -> None:
    few_losses, few = trained(tmp_path, tokens_per_device=10_000)
    many_losses, many = trained(tmp_path, tokens_per_device=32)
    assert few_losses == pytest.approx(many_losses, rel=1e-5)
    for name in few:
        torch.testing.assert_close(few[name], many[name], rtol=1e-3, atol=1e-4)


def test_the_loss_falls_and_every_update_is_noted(tmp_path: Path) -> None:
    model = trainable(tmp_path, full=True)
    updates = BatchPlan.of(stage(), examples(), seed=1)
    notes = noted(fit(model, updates, build_optimizer(model.groups, SETTINGS), SETTINGS, answer_loss))
    assert [note.step for note in notes] == list(range(1, 10))
    assert notes[-1].loss < 0.8 * notes[0].loss
    assert notes[-1].epoch == 3
    assert notes[0].tokens == sum(len(batch.tokens) for batch in updates.micro_batches(0))
    assert notes[0].learning_rate < notes[1].learning_rate > notes[-1].learning_rate


def test_the_first_update_is_that_of_plain_pytorch_on_the_mean_over_trained_tokens(tmp_path: Path) -> None:
    settings = Optimizer(learning_rate=1e-2, schedule="constant", warmup=0, max_grad_norm=None)
    model = trainable(tmp_path, dropout=0.0, full=True)
    updates = BatchPlan("adapt", examples(8), 8, 64, steps=1, seed=1)
    reference = trainable(tmp_path, dropout=0.0, full=True)
    weights = list(reference.groups[0].parameters.values())
    optimizer = torch.optim.AdamW(weights, lr=1e-2, weight_decay=0.0)
    nats = [answer_loss(reference.loaded, batch) for batch in updates.micro_batches(0)]
    (sum(nats) / sum(batch.num_trained for batch in updates.micro_batches(0))).backward()  # type: ignore[union-attr]
    optimizer.step()
    list(fit(model, updates, build_optimizer(model.groups, settings), settings, answer_loss))
    for name, weight in trained_state(model).items():
        torch.testing.assert_close(weight, trained_state(reference)[name], rtol=1e-4, atol=1e-5)


def test_gradients_are_clipped_to_the_norm_that_was_asked_for(tmp_path: Path) -> None:
    model = trainable(tmp_path, full=True)
    updates = BatchPlan.of(stage(steps=1, epochs=None), examples(), seed=1)
    sizes = []
    optimizer = build_optimizer(model.groups, SETTINGS)
    optimizer.register_step_pre_hook(
        lambda *_: sizes.append(
            torch.stack([weight.grad.norm() for weight in model.groups[0].parameters.values()]).norm().item()
        )
    )
    (note,) = noted(
        fit(model, updates, optimizer, SETTINGS.model_copy(update={"max_grad_norm": 0.01}), answer_loss)
    )
    assert note.gradient_norm > 0.01
    assert sizes == [pytest.approx(0.01, rel=1e-3)]


def test_it_goes_on_from_any_update_as_if_it_had_never_stopped(tmp_path: Path) -> None:
    model = trainable(tmp_path, dropout=0.0)
    updates = BatchPlan("adapt", examples(), 8, 64, steps=6, seed=1)
    optimizer = build_optimizer(model.groups, SETTINGS)
    for underway in fit(model, updates, optimizer, SETTINGS, answer_loss):
        if underway.result().step == 2:
            break
    rest = noted(fit(model, replace(updates), optimizer, SETTINGS, answer_loss, start=2))
    assert [note.step for note in rest] == [3, 4, 5, 6]
    whole = trainable(tmp_path, dropout=0.0)
    list(fit(whole, updates, build_optimizer(whole.groups, SETTINGS), SETTINGS, answer_loss))
    for name, weight in trained_state(model).items():
        assert torch.equal(weight, trained_state(whole)[name])


@dataclass(frozen=True)
class WithoutMemory(AnswerLoss):
    """The loss on a device that has memory for so many tokens."""

    most_tokens: int

    def __call__(self, loaded: LoadedModel, batch: Batch) -> torch.Tensor:
        nats = super().__call__(loaded, batch)
        if len(batch.tokens) > self.most_tokens:
            raise torch.OutOfMemoryError
        return nats


def test_an_update_that_does_not_fit_is_cut_smaller_and_nothing_is_lost(tmp_path: Path) -> None:
    wanted_losses, wanted = trained(tmp_path / "a", tokens_per_device=10_000)
    model = trainable(tmp_path / "b", dropout=0.0)
    updates = BatchPlan("adapt", examples(24), 8, 10_000, steps=6, seed=1)
    optimizer = build_optimizer(model.groups, SETTINGS)
    notes = noted(fit(model, updates, optimizer, SETTINGS, WithoutMemory(40)))
    assert [note.loss for note in notes] == pytest.approx(wanted_losses, rel=1e-5)
    assert notes[-1].tokens_per_device == updates.tokens_per_device <= 40
    for name in wanted:
        torch.testing.assert_close(trained_state(model)[name], wanted[name], rtol=1e-3, atol=1e-4)


def test_a_forecast_that_was_too_small_is_corrected_by_what_was_reached(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tunesmith.train.batch_plan.peak_memory_gib", lambda device: 6.0)
    model = trainable(tmp_path, dropout=0.0)
    updates = BatchPlan(
        "adapt", examples(24), 8, 10_000, steps=2, seed=1, expected_gib=lambda size: size / 40
    )
    largest = max(len(batch.tokens) for batch in updates.micro_batches(0))
    assert updates.forecast_gib == 250
    notes = noted(
        fit(model, updates, build_optimizer(model.groups, SETTINGS), SETTINGS, WithoutMemory(largest - 1))
    )
    size = notes[0].tokens_per_device
    assert size == largest // 2
    assert notes[0].forecast_gib == pytest.approx(size / 40 * max(1, 6 / (largest / 40)))
    assert notes[0].forecast_gib > size / 40


def test_without_a_forecast_there_is_none_to_correct(tmp_path: Path) -> None:
    model = trainable(tmp_path, dropout=0.0)
    updates = BatchPlan("adapt", examples(24), 8, 10_000, steps=1, seed=1)
    (note,) = noted(fit(model, updates, build_optimizer(model.groups, SETTINGS), SETTINGS, WithoutMemory(40)))
    assert note.forecast_gib is None


def test_one_example_that_does_not_fit_is_told_with_what_to_do(tmp_path: Path) -> None:
    model = trainable(tmp_path, dropout=0.0)
    updates = BatchPlan("adapt", examples(24), 8, 64, steps=1, seed=1)
    optimizer = build_optimizer(model.groups, SETTINGS)
    with pytest.raises(
        ModelError, match=r"^stage 'adapt': memory ran out on one example of \d+ tokens. Set model.che"
    ):
        list(fit(model, updates, optimizer, SETTINGS, WithoutMemory(4)))
