"""Populations whose truth is known, and samples of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.stats import norm

Array = np.ndarray


def correct_in_groups(
    chance: np.random.Generator, sets: int, groups: int, size: int, share: float, correlation: float
) -> Float[np.ndarray, "set group"]:
    """Right answers in each group: a normal latent value with this correlation within groups, cut where it gives the
    share."""
    shared = chance.standard_normal((sets, groups))
    cut = norm.ppf(share)
    inside = (
        norm.cdf((cut - np.sqrt(correlation) * shared) / np.sqrt(1 - correlation)) if correlation else share
    )
    return chance.binomial(size, np.broadcast_to(inside, (sets, groups))).astype(float)


def paired_in_groups(
    chance: np.random.Generator,
    sets: int,
    groups: int,
    size: int,
    shares: tuple[float, float],
    correlation: float,
    kept: float = 0.6,
) -> tuple[Float[np.ndarray, "set group"], Float[np.ndarray, "set group"]]:
    """What each group gains and loses: both models' latent values share the record's (correlation `kept`) and each has
    its own effect of the group (correlation `correlation`)."""
    own = chance.standard_normal((2, sets, groups, 1)) * np.sqrt(correlation)
    record = chance.standard_normal((sets, groups, size)) * np.sqrt(kept * (1 - correlation))
    noise = chance.standard_normal((2, sets, groups, size)) * np.sqrt((1 - kept) * (1 - correlation))
    cuts = norm.ppf(np.array(shares))[:, None, None, None]
    right = own + record + noise < cuts
    gained = (~right[0] & right[1]).sum(-1).astype(float)
    lost = (right[0] & ~right[1]).sum(-1).astype(float)
    return gained, lost


def change_of_shares(shares: tuple[float, float]) -> float:
    """The true change."""
    return shares[1] - shares[0]


def lumped(
    chance: np.random.Generator, number: int, lump: float, at: float = 0.0
) -> Float[np.ndarray, " record"]:
    """Values of which a share lies at one end, and the rest about 0.8, as IoU does."""
    values = chance.beta(8, 2, size=number)
    return np.where(chance.random(number) < lump, at, values)


def lumped_in_groups(
    chance: np.random.Generator, groups: int, size: int, lump: float, correlation: float
) -> Float[np.ndarray, " record"]:
    """The same in groups that are alike: the latent value that decides on the lump is shared, and so is the level."""
    shared = np.repeat(chance.standard_normal(groups), size) * np.sqrt(correlation)
    latent = shared + chance.standard_normal(groups * size) * np.sqrt(1 - correlation)
    level = np.repeat(chance.standard_normal(groups), size) * np.sqrt(correlation)
    level = norm.cdf(level + chance.standard_normal(groups * size) * np.sqrt(1 - correlation))
    # Beta(8, 2) by its own quantiles, so that the mean is 0.8 whatever the correlation.
    from scipy.special import betaincinv

    return (
        np.where(latent < norm.ppf(lump), 0.0, betaincinv(8, 2, level)) if lump else betaincinv(8, 2, level)
    )


@dataclass(frozen=True)
class Classes:
    """A population of classes: how frequent each is, and what a model answers for each (row: true class)."""

    shares: Float[np.ndarray, " label"]
    answers: Float[np.ndarray, "label label"]

    @staticmethod
    def of(labels: int, accuracy: float, skew: float, seed: int, spread: float = 0.08) -> Classes:
        """Classes with shares of 1 / rank^skew, and recalls about the accuracy; mistakes fall where they may."""
        chance = np.random.default_rng(seed)
        shares = 1 / np.arange(1, labels + 1) ** skew
        recalls = np.clip(accuracy + spread * chance.standard_normal(labels), 0.2, 0.995)
        mistakes = chance.dirichlet(np.ones(labels), labels)
        np.fill_diagonal(mistakes, 0.0)
        mistakes /= mistakes.sum(1, keepdims=True)
        answers = mistakes * (1 - recalls)[:, None] + np.diag(recalls)
        return Classes(shares / shares.sum(), answers)

    @property
    def f1(self) -> Float[np.ndarray, " label"]:
        """True F1 of each class."""
        joint = self.shares[:, None] * self.answers
        return 2 * np.diag(joint) / (joint.sum(0) + joint.sum(1))

    @property
    def recall(self) -> Float[np.ndarray, " label"]:
        """True recall of each class."""
        return np.diag(self.answers)

    def sample(
        self, chance: np.random.Generator, number: int
    ) -> tuple[Int[np.ndarray, " record"], Int[np.ndarray, " record"]]:
        """True and answered classes."""
        truth = chance.choice(len(self.shares), size=number, p=self.shares)
        return truth, _answered(self.answers, truth, chance.random(number))

    def sample_pair(
        self, chance: np.random.Generator, number: int, other: Classes, kept: float
    ) -> tuple[Array, Array, Array]:
        """True classes, and answers of two models that answer alike in this share of the records if they are equal."""
        truth = chance.choice(len(self.shares), size=number, p=self.shares)
        one, two = chance.random((2, number))
        two = np.where(chance.random(number) < kept, one, two)
        return truth, _answered(self.answers, truth, one), _answered(other.answers, truth, two)


def _answered(answers: Array, truth: Array, place: Array) -> Array:
    edges = np.cumsum(answers, axis=1)[truth]
    return np.minimum((place[:, None] > edges).sum(1), answers.shape[1] - 1)


def texts(chance: np.random.Generator, number: int) -> dict[str, Float[np.ndarray, " record"]]:
    """What BLEU counts of answers of unlike length and quality."""
    length = chance.integers(5, 30, size=number).astype(float)
    said = np.maximum(4, length + chance.integers(-3, 4, size=number))
    quality = chance.beta(2, 2, size=number)
    marks = {"bleu_length": said, "bleu_reference_length": length}
    shared = said
    for order in range(1, 5):
        runs = np.maximum(said - order + 1, 0)
        chance_of_one = 0.35 + 0.6 * quality
        shared = chance.binomial(
            np.minimum(shared, runs).astype(int), chance_of_one ** (1 if order > 1 else 0.7)
        )
        shared = shared.astype(float)
        marks[f"bleu_matches_{order}"] = shared
    return marks


def pictures(chance: np.random.Generator, number: int, found: float) -> dict[str, Array]:
    """What average precision counts of pictures with some boxes, of which a share is found, well or less well."""
    objects = chance.integers(0, 4, size=number).astype(float)
    hit = chance.binomial(objects.astype(int), found)
    marks = {"objects": objects, "predicted": hit + chance.poisson(0.4, size=number).astype(float)}
    left = hit
    for threshold in range(50, 100, 5):
        keep = 1.0 if threshold == 50 else 1 - (threshold - 45) / 160
        left = chance.binomial(left, keep)
        marks[f"matched_{threshold}"] = left.astype(float)
    return marks
