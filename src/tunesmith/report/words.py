"""Numbers in words, the same on the page and in the terminal."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from tunesmith.evaluate.changes import Change
from tunesmith.evaluate.compare import WorseClass, WorseGroup
from tunesmith.evaluate.scores import Score

_SPACE = "\u202f"  # narrow and unbreakable: a number and its unit stay on one line
_CAPITALS = {
    "ap": "AP",
    "ap50": "AP50",
    "auc": "AUC",
    "bleu": "BLEU",
    "f1": "F1",
    "iou": "IoU",
    "roc": "ROC",
    "rouge": "ROUGE",
    "l": "L",
    "mcnemar": "McNemar",
}
_TIME_UNITS = (("h", 3600), ("min", 60), ("s", 1))


def title(metric: str) -> str:
    """A metric's name as a heading; a metric of one class begins with the class.

    >>> title("f1_macro"), title("f1/Sci/Tech")
    ('F1 macro', 'Sci/Tech F1')
    """
    name, _, label = metric.partition("/")
    words = " ".join(_CAPITALS.get(word, word) for word in name.split("_"))
    if label:
        return f"{label} {words}"
    return words if name in _CAPITALS else words[:1].upper() + words[1:]


def within(heading: str) -> str:
    """A heading inside a sentence.

    >>> within("Accuracy"), within("F1 macro"), within("ROC AUC"), within("IoU")
    ('accuracy', 'F1 macro', 'ROC AUC', 'IoU')
    """
    is_plain = heading[1:2].islower() and heading.partition(" ")[0] not in _CAPITALS.values()
    return heading[:1].lower() + heading[1:] if is_plain else heading


def number(value: float, unit: str = "number") -> str:
    """A metric's value: a share in per cent with one decimal, anything else with three or more digits.

    >>> number(0.2604, "share"), number(1234.56), number(0.012345)
    ('26.0\\u202f%', '1,235', '0.0123')
    """
    if not math.isfinite(value):
        return "none"
    if unit == "share":
        return f"{_minus(f'{value * 100:.1f}')}{_SPACE}%"
    if abs(value) >= 1000:
        return _minus(f"{value:,.0f}")
    digits = 3 if abs(value) >= 0.1 or value == 0 else 3 + math.floor(-math.log10(abs(value)))
    return _minus(f"{value:.{min(digits, 6)}f}") + (f"{_SPACE}nats" if unit == "nats" else "")


def interval(low: float, high: float, unit: str = "number") -> str:
    """An interval's two ends without the unit, which the value next to it has; empty if there is none.

    >>> interval(0.219, 0.306, "share")
    '21.9 to 30.6'
    """
    if not math.isfinite(low + high):
        return ""
    return f"{_bare(low, unit)} to {_bare(high, unit)}"


def with_interval(measure: Score) -> str:
    """A metric's value and, if there is one, its interval."""
    ends = interval(measure.low, measure.high, measure.unit)
    return number(measure.value, measure.unit) + (f" (95{_SPACE}% interval {ends})" if ends else "")


def difference(value: float, unit: str = "number") -> str:
    """A change with its sign; of shares in points.

    >>> difference(0.502, "share"), difference(-0.0003, "share"), difference(-0.25)
    ('+50.2\\u202fpoints', '−0.03\\u202fpoints', '−0.250')
    """
    sign = "+" if value > 0 else ""
    return f"{sign}{_bare(value, unit)}" + (f"{_SPACE}points" if unit == "share" else "")


def changed(change: Change | WorseClass | WorseGroup, unit: str) -> str:
    """`+50.2 points, 95 % interval 45.0 to 55.3`."""
    ends = interval(change.low, change.high, unit)
    return difference(change.change, unit) + (f", 95{_SPACE}% interval {ends}" if ends else ", no interval")


def change_with_interval(change: Change, unit: str) -> str:
    """`+50.2 (45.0 to 55.3)`, for a table."""
    sign = "+" if change.change > 0 else ""
    ends = interval(change.low, change.high, unit)
    return f"{sign}{_bare(change.change, unit)}" + (f" ({ends})" if ends else "")


def rate(value: float) -> str:
    """A learning rate as it is written in an experiment file.

    >>> rate(0.0002), rate(1.5e-05), rate(0)
    ('2e-4', '1.5e-5', '0')
    """
    digits, _, power = f"{value:.2e}".partition("e")
    return f"{float(digits):g}e{int(power)}" if value else "0"


def p_value(value: float) -> str:
    """A p-value, `< 0.001` where it is.

    >>> p_value(1e-30), p_value(0.034)
    ('< 0.001', '0.034')
    """
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def count(value: float) -> str:
    """A whole number with its thousands apart.

    >>> count(1234567)
    '1,234,567'
    """
    return f"{value:,.0f}"


def size(num_bytes: float) -> str:
    """Bytes in the largest unit that leaves a number above one.

    >>> size(1536), size(3 * 2**30)
    ('1.5\\u202fKiB', '3.0\\u202fGiB')
    """
    for unit in ("bytes", "KiB", "MiB"):
        if abs(num_bytes) < 1024:
            return f"{num_bytes:.0f}{_SPACE}{unit}" if unit == "bytes" else f"{num_bytes:.1f}{_SPACE}{unit}"
        num_bytes /= 1024
    return f"{num_bytes:.1f}{_SPACE}GiB"


def duration(seconds: float) -> str:
    """A time in its two largest units.

    >>> duration(137), duration(7265), duration(4.2)
    ('2\\u202fmin 17\\u202fs', '2\\u202fh 1\\u202fmin', '4.2\\u202fs')
    """
    if seconds < 10:
        return f"{seconds:.1f}{_SPACE}s"
    left = round(seconds)
    words: list[str] = []
    for unit, length in _TIME_UNITS:
        amount, left = divmod(left, length)
        if amount or words:
            words.append(f"{amount}{_SPACE}{unit}")
    return " ".join(words[:2])


_FACTS = {
    "Trained weights": "Trained weights: how many numbers of the model were changed, and their share of all.",
    "Saved": "Saved: what they take on disk.",
    "Peak memory": "Peak memory: the most that training used at any time.",
    "Training time": "Training time: without preparation and evaluation.",
    "Held-out records": "Held-out records: never trained on, and the only ones that are measured here.",
}
_CLASS_METRICS = {
    "precision": "Precision: of the records that were answered with the class, the share that belongs to it.",
    "recall": "Recall: of the records that belong to the class, the share that was answered with it.",
    "f1": "F1: one number for both, high only if precision and recall are both high.",
}


def facts(named: Iterable[str | tuple[str, str]]) -> str:
    """What the facts of a run mean, those that are given, by their names or with their values."""
    names = [one if isinstance(one, str) else one[0] for one in named]
    return " ".join(_FACTS[name] for name in names if name in _FACTS)


def class_metrics(names: Iterable[str]) -> str:
    """What metrics of one class mean.

    >>> class_metrics(["recall"])
    'Recall: of the records that belong to the class, the share that was answered with it.'
    """
    return " ".join(_CLASS_METRICS[name] for name in names if name in _CLASS_METRICS)


def listed(names: Sequence[str]) -> str:
    """Names in a sentence.

    >>> listed(["a", "b", "c"])
    'a, b and c'
    """
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)


def _bare(value: float, unit: str) -> str:
    if unit != "share":
        return number(value)
    digits = f"{value * 100:.1f}"
    if float(digits) == 0:
        digits = f"{value * 100:.2f}"
    return "0.0" if float(digits) == 0 else _minus(digits)


def _minus(digits: str) -> str:
    return digits.replace("-", "−")
