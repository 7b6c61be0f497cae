"""Populations whose truth is known, and samples of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int
from scipy.special import betaincinv, ndtr
from scipy.stats import norm

Array = np.ndarray
POPULATION_SEED = 20_261_201
"""Draws a population; samples of it have seeds of their own."""


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
    values = betaincinv(8, 2, level)
    return np.where(latent < norm.ppf(lump), 0.0, values) if lump else values


@dataclass(frozen=True)
class Mixture:
    """Values between 0 and 1 with lumps at both ends and a beta distribution in between, as IoU and token F1 have."""

    at_zero: float
    at_one: float
    a: float
    b: float

    @property
    def mean(self) -> float:
        """True mean."""
        return self.at_one + (1 - self.at_zero - self.at_one) * float(np.trapezoid(self._table, _PLACES))

    @cached_property
    def _table(self) -> Float[np.ndarray, " place"]:
        return np.asarray(betaincinv(self.a, self.b, _PLACES))

    def at(self, place: Float[np.ndarray, " record"]) -> Float[np.ndarray, " record"]:
        """Quantiles."""
        inside = (place - self.at_zero) / (1 - self.at_zero - self.at_one)
        values = np.interp(inside, _PLACES, self._table)
        return np.where(inside < 0, 0.0, np.where(inside > 1, 1.0, values))


_PLACES = np.linspace(0, 1, 2001)


def paired_places(
    chance: np.random.Generator, groups: int, size: int, correlation: float, kept: float
) -> Float[np.ndarray, "model record"]:
    """Uniform places of the records of two models: both share the record's latent value (correlation `kept`), and each
    has its own effect of the group (correlation `correlation`)."""
    number = groups * size
    own = np.repeat(chance.standard_normal((2, groups)), size, axis=1) * np.sqrt(correlation)
    record = chance.standard_normal(number) * np.sqrt(kept * (1 - correlation))
    noise = chance.standard_normal((2, number)) * np.sqrt((1 - kept) * (1 - correlation))
    return np.asarray(ndtr(own + record + noise))


@dataclass(frozen=True)
class Classes:
    """A population of classes: how frequent each is, and what a model answers for each (row: true class)."""

    shares: Float[np.ndarray, " label"]
    answers: Float[np.ndarray, "label label"]

    @staticmethod
    def of(labels: int, accuracy: float, skew: float, spread: float = 0.08) -> Classes:
        """Classes with shares of 1 / rank^skew, and recalls about the accuracy; mistakes fall where they may."""
        chance = np.random.default_rng(POPULATION_SEED)
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
    def precision(self) -> Float[np.ndarray, " label"]:
        """True precision of each class."""
        joint = self.shares[:, None] * self.answers
        return np.asarray(np.diag(joint) / joint.sum(0))

    @property
    def recall(self) -> Float[np.ndarray, " label"]:
        """True recall of each class."""
        return np.diag(self.answers)

    @property
    def truths(self) -> dict[str, float]:
        """True values of the metrics: of all classes together, and of the most and the least frequent class."""
        last = len(self.shares) - 1
        by_class = {"f1": self.f1, "precision": self.precision, "recall": self.recall}
        return {
            "f1_macro": float(self.f1.mean()),
            "balanced_accuracy": float(self.recall.mean()),
            "f1_weighted": float(self.shares @ self.f1),
            **{f"{name}/c{at}": float(values[at]) for name, values in by_class.items() for at in (0, last)},
        }

    def sample(
        self, chance: np.random.Generator, number: int, groups: int = 0
    ) -> tuple[Int[np.ndarray, " record"], Int[np.ndarray, " record"]]:
        """True and answered classes. The records of a group, if there are groups, are of one class, and 30 % of them
        are answered alike."""
        truth, places = self._records(chance, number, groups)
        return truth, _answered(self.answers, truth, places[0])

    def sample_pair(
        self, chance: np.random.Generator, number: int, other: Classes, kept: float, groups: int = 0
    ) -> tuple[Array, Array, Array]:
        """True classes, and answers of two models that answer alike in this share of the records if they are equal."""
        truth, (one, two) = self._records(chance, number, groups)
        two = np.where(chance.random(number) < kept, one, two)
        return truth, _answered(self.answers, truth, one), _answered(other.answers, truth, two)

    def _records(self, chance: np.random.Generator, number: int, groups: int) -> tuple[Array, Array]:
        """True classes, and where in the distribution of answers the answers of two models lie."""
        places = chance.random((2, number))
        if not groups:
            return chance.choice(len(self.shares), size=number, p=self.shares), places
        group = np.arange(number) * groups // number
        truth = chance.choice(len(self.shares), size=groups, p=self.shares)[group]
        alike = chance.random((2, number)) < 0.3
        return truth, np.where(alike, chance.random((2, groups))[:, group], places)


def _answered(answers: Array, truth: Array, place: Array) -> Array:
    edges = np.cumsum(answers, axis=1)[truth]
    return np.minimum((place[:, None] > edges).sum(1), answers.shape[1] - 1)


def texts(
    chance: np.random.Generator, number: int, models: int = 1, gain: float = 0.0
) -> list[dict[str, Float[np.ndarray, " record"]]]:
    """What BLEU counts of the answers of one or two models, of unlike length and quality; the second one's words are
    right more often by `gain`. Both share the length that is wanted and, largely, how hard a record is."""
    length = chance.integers(5, 30, size=number).astype(float)
    places = paired_places(chance, number, 1, 0.0, 0.6)
    made = []
    for model in range(models):
        said = np.maximum(4, length + chance.integers(-3, 4, size=number))
        chance_of_a_word = np.minimum(0.35 + 0.6 * _QUALITY.at(places[model]) + gain * model, 1.0)
        marks, shared = {"bleu_length": said, "bleu_reference_length": length}, said
        for order in range(1, 5):
            most = np.minimum(shared, np.maximum(said - order + 1, 0)).astype(int)
            shared = chance.binomial(most, chance_of_a_word ** (1 if order > 1 else 0.7)).astype(float)
            marks[f"bleu_matches_{order}"] = shared
        made.append(marks)
    return made


_QUALITY = Mixture(0.0, 0.0, 2.0, 2.0)


def pictures(
    chance: np.random.Generator, number: int, shares: tuple[float, ...]
) -> list[dict[str, Float[np.ndarray, " record"]]]:
    """What average precision counts of the boxes of one or two models on the same pictures with up to three objects,
    of which each finds its share, well or less well; 60 % of what both find is the same."""
    objects = chance.integers(0, 4, size=number)
    common = 0.6 * min(shares)
    by_both, false_of_both = chance.binomial(objects, common), chance.poisson(0.24, size=number)
    made = []
    for share in shares:
        left = by_both + chance.binomial(objects - by_both, (share - common) / (1 - common))
        predicted = left + false_of_both + chance.poisson(0.16, size=number)
        marks = {"objects": objects.astype(float), "predicted": predicted.astype(float)}
        for threshold in range(50, 100, 5):
            left = chance.binomial(left, 1.0 if threshold == 50 else 1 - (threshold - 45) / 160)
            marks[f"matched_{threshold}"] = left.astype(float)
        made.append(marks)
    return made


def ranked(
    chance: np.random.Generator, number: int, positive: float, apart: tuple[float, ...]
) -> tuple[Int[np.ndarray, " record"], list[Float[np.ndarray, "record label"]]]:
    """True classes of two, at least one record of each, and class probabilities of one or two models: normal scores
    that lie this far apart, 60 % of whose spread both models share."""
    truth = (chance.random(number) < positive).astype(int)
    truth[:2] = 0, 1
    record = chance.standard_normal(number) * np.sqrt(0.6)
    made = []
    for distance in apart:
        score = ndtr(record + chance.standard_normal(number) * np.sqrt(0.4) + distance * (truth - 0.5))
        made.append(np.stack([1 - score, score], axis=1))
    return truth, made


def area_of(apart: float) -> float:
    """True ROC AUC of scores that lie this far apart."""
    return float(ndtr(apart / np.sqrt(2)))
