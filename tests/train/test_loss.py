from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from tests.train.small import examples, loaded, stage
from tunesmith.batching.collator import collate
from tunesmith.batching.example import Example
from tunesmith.config.experiment import Batch
from tunesmith.config.experiment import Loss as LossSettings
from tunesmith.config.head import Head
from tunesmith.methods.full import Full
from tunesmith.model.heads import new_head
from tunesmith.model.loaded import LoadedModel
from tunesmith.model.trainable import make_trainable
from tunesmith.train.batch_plan import BatchPlan
from tunesmith.train.examples import Examples
from tunesmith.train.fit import fit
from tunesmith.train.loss import (
    ClassLoss,
    Loss,
    MultiClassLoss,
    WeighedAnswerLoss,
    answer_loss,
    focal_binary_nats,
    focal_nats,
)


def test_the_loss_is_that_of_transformers_summed_over_the_trained_tokens(tmp_path: Path) -> None:
    model = loaded(tmp_path)
    for example in examples(6):
        batch = collate([example])
        labels = torch.from_numpy(example.tokens).long()
        labels[~torch.from_numpy(example.trained)] = -100
        reference = model.model(
            input_ids=batch.tokens[None], labels=labels[None], segments=batch.segments
        ).loss
        torch.testing.assert_close(answer_loss(model, batch), reference * batch.num_trained)


def test_a_packed_batch_gives_the_loss_and_the_gradients_of_its_examples_alone(tmp_path: Path) -> None:
    model = loaded(tmp_path, "qwen3")
    model.model.requires_grad_(True)
    given = list(examples(8))
    packed = answer_loss(model, collate(given))
    packed.backward()  # type: ignore[no-untyped-call]
    together = {name: weight.grad.clone() for name, weight in model.model.named_parameters()}
    model.model.zero_grad()
    alone = torch.zeros(())
    for example in given:
        nats = answer_loss(model, collate([example]))
        nats.backward()  # type: ignore[no-untyped-call]
        alone += nats.detach()
    torch.testing.assert_close(packed, alone, rtol=1e-5, atol=1e-5)
    for name, weight in model.model.named_parameters():
        torch.testing.assert_close(together[name], weight.grad, rtol=1e-4, atol=1e-5)


def classified(number: int = 8, num_classes: int = 3) -> list[Example]:
    """Examples with a class each."""
    return [
        replace(example, classes=(index % num_classes,)) for index, example in enumerate(examples(number))
    ]


def with_head(folder: Path, multi: bool = False) -> LoadedModel:
    model = loaded(folder)
    return replace(
        model, head=new_head(Head(hidden=16, dropout=0.0, multi=multi), ("a", "b", "c"), 64, 3, model.device)
    )


def reference_focal(logits: np.ndarray, targets: np.ndarray, gamma: float, smoothing: float) -> np.ndarray:
    """The formulas, in numpy."""
    shares = np.exp(logits - logits.max(1, keepdims=True))
    shares /= shares.sum(1, keepdims=True)
    wanted = np.eye(logits.shape[1])[targets] * (1 - smoothing) + smoothing / logits.shape[1]
    true = shares[np.arange(len(targets)), targets]
    return np.asarray((1 - true) ** gamma * -(wanted * np.log(shares)).sum(1))


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_focal_and_smoothed_nats_are_those_of_the_formula(gamma: float, smoothing: float) -> None:
    chance = np.random.default_rng(0)
    logits, targets = 3 * chance.normal(size=(20, 5)), chance.integers(0, 5, 20)
    ours = focal_nats(torch.from_numpy(logits), torch.from_numpy(targets), gamma, smoothing)
    np.testing.assert_allclose(ours.numpy(), reference_focal(logits, targets, gamma, smoothing), rtol=1e-9)


@pytest.mark.parametrize("gamma", [0.0, 2.0])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_focal_nats_of_single_classes_are_those_of_the_formula(gamma: float, smoothing: float) -> None:
    chance = np.random.default_rng(1)
    logits, there = 3 * chance.normal(size=(20, 4)), chance.integers(0, 2, (20, 4)).astype(float)
    ours = focal_binary_nats(torch.from_numpy(logits), torch.from_numpy(there), gamma, smoothing)
    shares = 1 / (1 + np.exp(-logits))
    wanted = there * (1 - smoothing) + smoothing / 2
    right = np.where(there > 0, shares, 1 - shares)
    nats = -(wanted * np.log(shares) + (1 - wanted) * np.log(1 - shares))
    np.testing.assert_allclose(ours.numpy(), (1 - right) ** gamma * nats, rtol=1e-9)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_slopes_are_those_of_finite_differences(gamma: float) -> None:
    chance = torch.Generator().manual_seed(0)
    logits = torch.randn(6, 4, generator=chance, dtype=torch.float64, requires_grad=True)
    targets = torch.tensor([0, 1, 2, 3, 0, 1])
    there = torch.randint(0, 2, (6, 4), generator=chance).double()
    assert torch.autograd.gradcheck(lambda x: focal_nats(x, targets, gamma, 0.1), logits)
    assert torch.autograd.gradcheck(lambda x: focal_binary_nats(x, there, gamma, 0.1), logits)


@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_an_example_that_is_surely_right_has_a_finite_slope(gamma: float) -> None:
    logits = torch.tensor([[200.0, -200.0], [-200.0, 200.0]], requires_grad=True)
    focal_nats(logits, torch.tensor([0, 0]), gamma, 0.0).sum().backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


def test_the_loss_of_a_head_is_torchs_own_with_weights_and_smoothing(tmp_path: Path) -> None:
    model, batch = with_head(tmp_path), collate(classified())
    assert batch.labels is not None
    classes, weights = batch.labels[:, 1], (0.5, 1.0, 1.5)
    logits = model.class_logits(batch)
    weighed = ClassLoss(LossSettings(), weights)
    reference = functional.cross_entropy(logits, classes, torch.tensor(weights))
    torch.testing.assert_close(weighed(model, batch) / weighed.weight(batch), reference)
    smoothed = ClassLoss(LossSettings(label_smoothing=0.2))
    reference = functional.cross_entropy(logits, classes, label_smoothing=0.2)
    torch.testing.assert_close(smoothed(model, batch) / smoothed.weight(batch), reference)
    assert smoothed.num_trained(batch) == 8


def test_the_loss_of_several_classes_a_record_is_torchs_own(tmp_path: Path) -> None:
    model = with_head(tmp_path, multi=True)
    several = [(0, 2), (), (1,), (0, 1, 2)]
    batch = collate([replace(one, classes=own) for one, own in zip(examples(4), several, strict=True)])
    there = torch.tensor([[1.0, 0, 1], [0, 0, 0], [0, 1, 0], [1, 1, 1]])
    loss = MultiClassLoss(LossSettings(), (0.5, 1.0, 1.5))
    reference = functional.binary_cross_entropy_with_logits(
        model.class_logits(batch), there, torch.tensor([0.5, 1.0, 1.5])
    )
    torch.testing.assert_close(loss(model, batch) / loss.weight(batch), reference)


@pytest.mark.parametrize(
    "loss",
    [
        ClassLoss(LossSettings(gamma=1.0, label_smoothing=0.1), (0.5, 1.0, 1.5)),
        WeighedAnswerLoss(LossSettings(gamma=1.0, label_smoothing=0.1), (0.5, 1.0, 1.5)),
        WeighedAnswerLoss(LossSettings(gamma=2.0)),
    ],
)
def test_a_loss_and_its_weight_do_not_depend_on_how_examples_are_packed(tmp_path: Path, loss: Loss) -> None:
    model, given = with_head(tmp_path), classified()
    with torch.no_grad():
        packed, alone = loss(model, collate(given)), [loss(model, collate([one])) for one in given]
    torch.testing.assert_close(packed, torch.stack(alone).sum(), rtol=1e-5, atol=1e-5)
    assert loss.weight(collate(given)) == pytest.approx(sum(loss.weight(collate([one])) for one in given))


def test_tokens_of_a_generated_answer_count_as_its_class_does(tmp_path: Path) -> None:
    model, given, weights = loaded(tmp_path), classified(), (0.5, 1.0, 1.5)
    loss = WeighedAnswerLoss(LossSettings(), weights)
    batch = collate(given)
    with torch.no_grad():
        each = [answer_loss(model, collate([one])) * weights[one.classes[0]] for one in given]  # type: ignore[index]
        torch.testing.assert_close(loss(model, batch), torch.stack(each).sum(), rtol=1e-5, atol=1e-5)
    tokens = [int(one.trained[1:].sum()) * weights[one.classes[0]] for one in given]  # type: ignore[index]
    assert loss.weight(batch) == pytest.approx(sum(tokens))
    assert loss.num_trained(batch) == batch.num_trained


def test_accumulation_is_exact_with_weights(tmp_path: Path) -> None:
    model = with_head(tmp_path)
    trained = make_trainable(model, {"head": Full()}, seed=1)
    loss, made = ClassLoss(LossSettings(), (0.2, 1.0, 1.8)), Examples(classified(16))
    weights = list(trained.groups[0].parameters.values())
    found = []
    for capacity in (32, 4096):
        settings = stage(
            batch=Batch(num_examples=16, max_tokens_per_microbatch=capacity), steps=1, epochs=None
        )
        updates = BatchPlan.of(settings, made, seed=1)
        optimizer = torch.optim.SGD([{"params": weights, "lr": 0.0, "peak": 0.0}])
        note = next(fit(trained, updates, optimizer, settings.optimizer, loss)).result()
        found.append((note.loss, note.gradient_norm, note.trained_tokens))
    assert found[0] == pytest.approx(found[1], rel=1e-4)
    assert found[0][2] == 16
