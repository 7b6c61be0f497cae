"""Classes of unlike size: which examples are trained on, and what each of them counts. Only ever the training side."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

from tunesmith.config.experiment import Balance
from tunesmith.config.experiment import Loss as LossSettings
from tunesmith.errors import counted
from tunesmith.runs.stage import TrainedClasses

BETA = 0.999


def balanced(classes: Sequence[int], settings: Balance, seed: int) -> list[int]:
    """Indices of what is trained on, ascending, given the class of each; what is repeated is there as often.
    Which ones, where a class has too many or a repetition is not whole, follows from the seed.

    >>> balanced([0, 0, 0, 1], Balance(per_class="max"), seed=17)
    [0, 1, 2, 3, 3, 3]
    """
    members: dict[int, list[int]] = {}
    for index, one in enumerate(classes):
        members.setdefault(one, []).append(index)
    largest = max(map(len, members.values()), default=0)
    drawn: list[int] = []
    for one, indices in members.items():
        # A class that has too few for a number keeps all that it has.
        wanted = largest if settings.per_class == "max" else min(settings.per_class, len(indices))
        whole, rest = divmod(wanted, len(indices))
        chosen = np.random.default_rng([seed, one]).permutation(len(indices))[:rest]
        drawn += [*indices * whole, *(indices[place] for place in chosen.tolist())]
    return sorted(drawn)


def count_classes(examples: Sequence[Sequence[int] | None], num_classes: int) -> Int[np.ndarray, " label"]:
    """Number of examples of each class."""
    flat = [one for classes in examples for one in classes or ()]
    return np.bincount(np.array(flat, dtype=np.int64), minlength=num_classes)


def class_weights(counts: Int[np.ndarray, " label"], settings: LossSettings) -> tuple[float, ...] | None:
    """What an example of each class counts, or None if all count alike.

    1 / n, or one by the effective number of n examples, (1 - beta^n) / (1 - beta) (Cui et al. 2019, equation 2);
    then scaled to the mean 1 over the classes that have examples. Others count 1.

    >>> class_weights(np.array([1, 3]), LossSettings(balance="inverse_frequency"))
    (1.5, 0.5)
    """
    if settings.balance == "none":
        return None
    there = counts > 0
    sizes = np.maximum(counts, 1).astype(float)
    if settings.balance == "effective_number":
        beta = BETA if settings.beta is None else settings.beta
        sizes = -np.expm1(sizes * np.log(beta)) / (1 - beta) if beta else np.ones_like(sizes)
    weights = 1 / sizes
    return tuple(np.where(there, weights / weights[there].mean(), 1.0).tolist())


def class_notes(classes: TrainedClasses) -> list[str]:
    """Sentences for the log: sizes of the classes, classes without examples, and loss weights."""
    least, most = min(classes.counts), max(classes.counts)
    sizes = counted(most, "training example")
    notes = [f"{len(classes.labels)} classes of {sizes if least == most else f'{least:,} to {sizes}'}"]
    missing = [label for label, count in zip(classes.labels, classes.counts, strict=True) if not count]
    if missing:
        more = f" and {len(missing) - 10} more" if len(missing) > 10 else ""
        notes.append(f"no training example is of class {', '.join(missing[:10])}{more}")
    if classes.weights is not None:
        pairs = zip(classes.labels, classes.weights, strict=True)
        notes.append("weights of classes: " + ", ".join(f"{label} {weight:.4g}" for label, weight in pairs))
    return notes
