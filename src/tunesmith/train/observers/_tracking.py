"""What all trackers share: an event as named numbers, and the error for a tracker that is not installed."""

from __future__ import annotations

from importlib.util import find_spec

from tunesmith.errors import ExperimentError
from tunesmith.train.observers import Evaluation, Update


def numbers(event: Update | Evaluation) -> dict[str, float]:
    """What an event measured, by the names that its curves get.

    >>> numbers(Evaluation("adapt", step=20, metrics={"accuracy": 0.5}, best=True))
    {'validation/accuracy': 0.5}
    """
    if isinstance(event, Evaluation):
        return {f"validation/{name}": value for name, value in event.metrics.items()}
    return {
        "loss": event.loss,
        "learning_rate": event.learning_rate,
        "gradient_norm": event.gradient_norm,
        "epoch": event.epoch,
        "tokens_per_second": event.tokens / event.seconds,
        "trained_tokens": event.trained_tokens,
        "memory_gib": event.memory_gib,
    }


def refuse_missing(kind: str, package: str) -> None:
    """Raise ExperimentError if the package of an observer is not installed."""
    if find_spec(package) is None:
        raise not_installed(kind, package)


def not_installed(kind: str, package: str) -> ExperimentError:
    """The error for an observer whose package is missing."""
    return ExperimentError(
        f"track: {kind!r} needs the package {package}, which is not installed. Run "
        f"`pip install 'tunesmith[tracking]'`, or leave {kind!r} out of `track`"
    )
