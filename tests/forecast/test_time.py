from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from tunesmith.forecast.time import EFFICIENCY, matrix_rate

RECORDS = sorted((Path(__file__).parents[2] / "benchmarks" / "memory").glob("*.json"))


def test_the_rate_is_that_of_a_product_and_is_had_in_a_moment() -> None:
    began = time.perf_counter()
    rate = matrix_rate(torch.device("cpu"), torch.float32)
    assert time.perf_counter() - began < 5
    one = torch.randn(1024, 1024)
    again = time.perf_counter()
    one @ one
    own = 2 * 1024**3 / (time.perf_counter() - again)
    # Other work on the machine may slow either.
    assert own / 50 < rate < own * 50


def test_the_efficiency_is_the_median_of_the_record() -> None:
    shares = [
        case["micro_batches"] * case["forecast"]["flop"] / case["measured"]["seconds"] / record["matrix_rate"]
        for record in (json.loads(path.read_text()) for path in RECORDS)
        for case in record["cases"]
    ]
    assert shares
    assert pytest.approx(float(np.median(shares)), abs=0.05) == EFFICIENCY
