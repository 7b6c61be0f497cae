from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from tests.train.small import examples, stage
from tunesmith.batching.example import Example
from tunesmith.config.experiment import Batch
from tunesmith.forecast.choose import choose, largest_shape, most_tokens, required_bytes
from tunesmith.forecast.memory import GIB, Forecast
from tunesmith.model.checkpointing import Level
from tunesmith.train.batch_plan import BatchPlan
from tunesmith.train.examples import Examples

FIXED = 10 * GIB
TOKEN = {"none": 4 * GIB // 1024, "selective": GIB // 1024, "full": GIB // 4096, "offload": GIB // 8192}
"""Bytes of the weights, and of a token by level of checkpointing: about those of 7B."""


def told(level: Level, tokens: int) -> Forecast:
    return Forecast({"language": FIXED}, 0, 0, tokens * TOKEN[level], 0, 0, flop=0)


def counted(tries: list[tuple[Level, int]]) -> Callable[[Level, int], Forecast]:
    def forecast(level: Level, tokens: int) -> Forecast:
        tries.append((level, tokens))
        return told(level, tokens)

    return forecast


def test_where_all_fits_nothing_is_recomputed_and_one_forecast_is_enough() -> None:
    tries: list[tuple[Level, int]] = []
    found = choose(counted(tries), 100 * GIB, largest=100_000)
    assert (found.checkpointing, found.tokens_per_device) == ("none", 16384)
    assert tries == [("none", 16384)]
    assert found.reason == "16,384 tokens at once take 77.0 of 100.0 GiB"


def test_with_less_room_fewer_tokens_go_at_once_and_fill_it() -> None:
    found = choose(told, 40 * GIB, largest=100_000)
    assert found.checkpointing == "none"
    assert 6656 <= found.tokens_per_device <= 7168
    assert required_bytes(told("none", found.tokens_per_device)) <= 40 * GIB


def test_where_too_few_tokens_would_fit_activations_are_recomputed_and_it_is_said_why() -> None:
    found = choose(told, 16 * GIB, largest=100_000)
    assert (found.checkpointing, found.tokens_per_device) == ("selective", 5376)
    assert "; with none, 1,280 tokens at once take " in found.reason
    found = choose(told, 12 * GIB, largest=100_000)
    assert (found.checkpointing, found.tokens_per_device) == ("offload", 12544)
    assert "; with full, 6,144 tokens at once take " in found.reason
    assert choose(told, 12 * GIB, largest=6000).checkpointing == "full"


def test_a_micro_batch_is_never_larger_than_an_update() -> None:
    assert choose(told, 100 * GIB, largest=900).tokens_per_device == 900
    # 900 tokens fit without recomputing, though that is fewer than would be enough elsewhere.
    assert choose(told, 16 * GIB, largest=900).checkpointing == "none"


def test_what_is_asked_for_is_not_changed() -> None:
    assert choose(told, 100 * GIB, 100_000, checkpointing="full").checkpointing == "full"
    fixed = choose(told, 16 * GIB, 100_000, tokens=4096)
    assert (fixed.checkpointing, fixed.tokens_per_device) == ("selective", 4096)
    assert choose(told, 40 * GIB, 100_000, tokens=4096).checkpointing == "none"


def test_where_nothing_fits_the_smallest_is_tried_and_the_log_says_so() -> None:
    found = choose(told, 5 * GIB, largest=100_000)
    assert (found.checkpointing, found.tokens_per_device) == ("offload", 256)
    assert found.reason.startswith("256 tokens at once take 10.4 of 5.0 GiB, which do not fit; with full, ")


def test_memory_that_does_not_grow_in_a_straight_line_is_not_overrun() -> None:
    def curved(tokens: int) -> Forecast:
        return Forecast({"language": FIXED}, 0, 0, tokens**2 * 200, 0, 0, flop=0)

    found, forecast = most_tokens(curved, 20 * GIB, 16384)
    assert found > 4096
    assert required_bytes(forecast) <= 20 * GIB


def test_the_expected_memory_of_other_sizes_lies_on_the_line() -> None:
    found = choose(told, 40 * GIB, 100_000, tokens=4096)
    assert found.expected_gib(4096) == pytest.approx(found.forecast.total / GIB)
    assert found.expected_gib(1024) == pytest.approx(told("none", 1024).total / GIB)


def test_the_largest_micro_batch_is_looked_for_and_the_longest_example_is_in_it() -> None:
    updates = BatchPlan.of(
        stage(batch=Batch(num_examples=8, max_tokens_per_microbatch=64)), examples(24), seed=3
    )
    sizes = [len(batch.tokens) for step in range(3) for batch in updates.micro_batches(step)]
    shape, number = largest_shape(updates, 64)
    assert shape.tokens == max(sizes)
    assert number == max(len(updates.micro_batches(step)) for step in range(3))
    assert shape.predictions >= max(
        batch.num_trained for step in range(3) for batch in updates.micro_batches(step)
    )
    given = [*examples(24), Example("long", np.zeros(500, np.int32), np.ones(500, bool))]
    longer = BatchPlan.of(stage(), Examples(given), seed=3)
    assert largest_shape(longer, 64)[0].tokens == 500
