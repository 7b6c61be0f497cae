import numpy as np
import pytest

from tunesmith.audit.percentiles import spread


def test_a_spread_tells_ends_mean_and_percentiles() -> None:
    found = spread(np.arange(1, 102))
    assert list(found) == ["min", "mean", "p50", "p90", "p95", "p99", "max"]
    assert list(found.values()) == pytest.approx([1, 51, 51, 91, 96, 100, 101])
