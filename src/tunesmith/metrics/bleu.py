"""Metric `bleu`: runs of words that the answers share with the accepted ones, over all answers at once."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from tunesmith.metrics import Metric, Outcomes
from tunesmith.metrics._statistics import Sums

_LENGTHS = ("bleu_length", "bleu_reference_length")
_MATCHES = ("bleu_matches_1", "bleu_matches_2", "bleu_matches_3", "bleu_matches_4")


def _columns(outcomes: Outcomes) -> Float[np.ndarray, "row column"]:
    """Lengths said and wanted, whether a run of four is wanted, all runs of each order, and those that are shared."""
    if not {*_LENGTHS, *_MATCHES} <= outcomes.marks.keys():
        return np.zeros((len(outcomes.unread), 2 + 2 * len(_MATCHES)))
    said, wanted = (outcomes.marks[name] for name in _LENGTHS)
    runs = [np.maximum(said - order, 0) for order in range(len(_MATCHES))]
    matches = [outcomes.marks[name] for name in _MATCHES]
    return np.stack([wanted, wanted >= len(_MATCHES), *runs, *matches], axis=1)


def _values(sums: Float[np.ndarray, "*many column"]) -> dict[str, Float[np.ndarray, "*many"]]:
    wanted, has_four = sums[..., 0], sums[..., 1] > 0
    runs, matches = sums[..., 2 : 2 + len(_MATCHES)], sums[..., 2 + len(_MATCHES) :]
    is_something = (runs > 0).all(-1) & (matches > 0).any(-1)
    smoothed = np.where(matches > 0, matches, 0.5 ** np.cumsum(matches <= 0, axis=-1))
    logs = np.log(smoothed / np.where(runs > 0, runs, 1)).mean(-1)
    length = np.where(runs[..., 0] > 0, runs[..., 0], 1)
    brevity = np.minimum(0.0, 1 - wanted / length)
    value = np.where(is_something, 100 * np.exp(brevity + logs), 0.0)
    return {"bleu": np.where(has_four, value, np.nan)}


_STATISTIC = Sums(_columns, _values)
METRIC = Metric(unit="number", needs=(*_LENGTHS, *_MATCHES, "text"), statistic=_STATISTIC, most=100.0)


def bleu(outcomes: Outcomes, weights: Float[np.ndarray, " row"]) -> dict[str, float]:
    """Corpus BLEU from 0 to 100 (Papineni et al. 2002, section 2.3), an order without a match smoothed as
    sacrebleu does it (Post 2018): the first counts half a match, the next a quarter. An unread answer has no
    words. NaN where no accepted answer has four words, for there is no run of four to share."""
    return _STATISTIC.of(outcomes, weights)
