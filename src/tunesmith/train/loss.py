"""From a packed batch to the nats of what it trains: the line that everything else exists for."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from tunesmith.batching.batch import Batch
from tunesmith.config.experiment import Loss as LossSettings
from tunesmith.kernels.ops.cross_entropy import cross_entropy
from tunesmith.model.loaded import LoadedModel


class Loss(ABC):
    """A sum over a batch, and what it is to be divided by.

    Dividing by the weight of the whole update is the loop's part, so that the gradient does not depend on how an
    update is cut into micro-batches.
    """

    @abstractmethod
    def __call__(self, loaded: LoadedModel, batch: Batch) -> Float[Tensor, ""]:
        """Sum over what the batch trains, in fp32."""

    @abstractmethod
    def num_trained(self, batch: Batch) -> int:
        """How much of the batch is trained: tokens, or examples."""

    def weight(self, batch: Batch) -> float:
        """What an update's sum is divided by; what is trained counts alike unless a loss weighs it."""
        return self.num_trained(batch)


class AnswerLoss(Loss):
    """-ln p(token | what its own example has before it) of every trained token, each counting alike."""

    def __call__(self, loaded: LoadedModel, batch: Batch) -> Float[Tensor, ""]:
        """Logits are computed only where a trained token is predicted."""
        with loaded.precision():
            logits = loaded.logits(batch)
        if loaded.kernels == "fused":
            return cross_entropy(logits, batch.targets)
        return functional.cross_entropy(logits.float(), batch.targets, reduction="sum")

    def num_trained(self, batch: Batch) -> int:
        """Trained tokens."""
        return batch.num_trained


answer_loss = AnswerLoss()


@dataclass(frozen=True)
class WeighedAnswerLoss(AnswerLoss):
    """The same with each token counting as its example's class does, focal and smoothed as the settings say."""

    settings: LossSettings
    class_weights: tuple[float, ...] | None = None
    """By class; None counts all alike."""

    def __call__(self, loaded: LoadedModel, batch: Batch) -> Float[Tensor, ""]:
        """Sum of the weighted nats of all trained tokens."""
        with loaded.precision():
            logits = loaded.logits(batch)
        nats = focal_nats(logits.float(), batch.targets, self.settings.gamma, self.settings.label_smoothing)
        return nats.sum() if self.class_weights is None else nats @ self._weights(batch)

    def weight(self, batch: Batch) -> float:
        """Sum of the weights of all trained tokens."""
        return float(self.num_trained(batch) if self.class_weights is None else self._weights(batch).sum())

    def _weights(self, batch: Batch) -> Float[Tensor, " prediction"]:
        """The weight of each trained token."""
        assert batch.labels is not None
        assert self.class_weights is not None
        starts = batch.segments.starts.to(batch.predicting.device)
        members = torch.bucketize(batch.predicting, starts, right=True) - 1
        return of_classes(self.class_weights, batch.labels)[members]


@dataclass(frozen=True)
class ClassLoss(Loss):
    """-ln p(class | question) of every example, by the model's head."""

    settings: LossSettings
    class_weights: tuple[float, ...] | None = None
    """By class; None counts all alike."""

    def __call__(self, loaded: LoadedModel, batch: Batch) -> Float[Tensor, ""]:
        """Sum of the weighted nats of all examples."""
        assert batch.labels is not None
        with loaded.precision():
            logits = loaded.class_logits(batch)
        classes = batch.labels[:, 1]
        nats = focal_nats(logits, classes, self.settings.gamma, self.settings.label_smoothing)
        return (
            nats.sum() if self.class_weights is None else nats @ of_classes(self.class_weights, batch.labels)
        )

    def num_trained(self, batch: Batch) -> int:
        """Examples."""
        return len(batch.segments.starts)

    def weight(self, batch: Batch) -> float:
        """Sum of the weights of all examples."""
        if self.class_weights is None:
            return self.num_trained(batch)
        assert batch.labels is not None
        return float(of_classes(self.class_weights, batch.labels).sum())


@dataclass(frozen=True)
class MultiClassLoss(ClassLoss):
    """For a head whose classes do not exclude one another: -ln p of each class's being there or not (sigmoid), the
    weighted mean over classes."""

    def __call__(self, loaded: LoadedModel, batch: Batch) -> Float[Tensor, ""]:
        """Sum over all examples."""
        assert batch.labels is not None
        with loaded.precision():
            logits = loaded.class_logits(batch)
        there = torch.zeros_like(logits).index_put_(
            tuple(batch.labels.T), torch.ones((), device=logits.device)
        )
        nats = focal_binary_nats(logits, there, self.settings.gamma, self.settings.label_smoothing)
        if self.class_weights is not None:
            weights = logits.new_tensor(self.class_weights)
            nats = nats * (weights / weights.mean())
        return nats.mean(1).sum()

    def weight(self, batch: Batch) -> float:
        """Examples: the weights of classes have the mean 1."""
        return self.num_trained(batch)


def of_classes(class_weights: Sequence[float], labels: Int[Tensor, "segment 2"]) -> Float[Tensor, " segment"]:
    """The weight of each segment, one class a segment."""
    return torch.tensor(class_weights, device=labels.device)[labels[:, 1]]


def focal_nats(
    logits: Float[Tensor, "row label"], targets: Int[Tensor, " row"], gamma: float, smoothing: float
) -> Float[Tensor, " row"]:
    """Cross-entropy of each row with a target of which the share `smoothing` is spread over all labels alike (Szegedy
    et al. 2016, section 7), times (1 - p)^gamma, p being the target's probability (Lin et al. 2017, equation 4)."""
    nats = functional.cross_entropy(logits, targets, reduction="none", label_smoothing=smoothing)
    if not gamma:
        return nats
    missing = _missing(logits.log_softmax(-1).gather(1, targets[:, None]).squeeze(1))
    return missing**gamma * nats


def focal_binary_nats(
    logits: Float[Tensor, "row label"], there: Float[Tensor, "row label"], gamma: float, smoothing: float
) -> Float[Tensor, "row label"]:
    """The same for classes that each are there (1) or not (0): the smoothed target of 1 is 1 - smoothing / 2."""
    smoothed = there * (1 - smoothing) + smoothing / 2
    nats = functional.binary_cross_entropy_with_logits(logits, smoothed, reduction="none")
    if not gamma:
        return nats
    return _missing(-functional.softplus(torch.where(there > 0, -logits, logits))) ** gamma * nats


def _missing(log_probabilities: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
    """1 - p. Below the smallest step from 1 it stays, where a power under 1 would have no finite slope."""
    return (-log_probabilities.expm1()).clamp_min(torch.finfo(log_probabilities.dtype).eps)
