"""Where most of a list of lengths lies."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int

PERCENTILES = (50, 90, 95, 99)


def spread(lengths: Int[np.ndarray, " example"]) -> dict[str, float]:
    """min, mean, p50, p90, p95, p99 and max."""
    ends = {"min": float(lengths.min()), "mean": float(lengths.mean())}
    percentiles = {f"p{share}": float(np.percentile(lengths, share)) for share in PERCENTILES}
    return ends | percentiles | {"max": float(lengths.max())}
