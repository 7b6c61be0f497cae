"""Metric `bleu`: runs of words that the answers share with the accepted ones, over all answers at once."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from tunesmith.metrics import Metric, Outcomes

_LENGTHS = ("bleu_length", "bleu_reference_length")
_MATCHES = ("bleu_matches_1", "bleu_matches_2", "bleu_matches_3", "bleu_matches_4")
METRIC = Metric(unit="number", needs=(*_LENGTHS, *_MATCHES, "text"))


def bleu(outcomes: Outcomes, weights: Float[np.ndarray, "row"]) -> dict[str, float]:
    """Corpus BLEU from 0 to 100 (Papineni et al. 2002, section 2.3), an order without a match smoothed as
    sacrebleu does it (Post 2018): the first counts half a match, the next a quarter. An unread answer has no
    words. NaN where no accepted answer has four words, for there is no run of four to share."""
    if not {*_LENGTHS, *_MATCHES} <= outcomes.marks.keys():
        return {"bleu": float("nan")}
    said, wanted = (outcomes.marks[name] for name in _LENGTHS)
    if not (weights * wanted)[wanted >= len(_MATCHES)].any():
        return {"bleu": float("nan")}
    runs = [float(weights @ np.maximum(said - order, 0)) for order in range(len(_MATCHES))]
    matches = [float(weights @ outcomes.marks[name]) for name in _MATCHES]
    if not all(runs) or not any(matches):
        return {"bleu": 0.0}
    logs, without = [], 0
    for shared, all_runs in zip(matches, runs, strict=True):
        without += not shared
        logs.append(np.log((shared or 0.5**without) / all_runs))
    length, wanted_length = runs[0], float(weights @ wanted)
    brevity = min(0.0, 1 - wanted_length / length)
    return {"bleu": float(100 * np.exp(brevity + np.mean(logs)))}
