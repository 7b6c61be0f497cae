"""Choice of checkpointing level and micro-batch size, so that a stage runs as fast as its memory allows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

from tunesmith.forecast.memory import FRAGMENTS, GIB, BatchShape, Forecast
from tunesmith.model.checkpointing import LEVELS, Level
from tunesmith.train.batch_plan import BatchPlan

MOST_TOKENS, ENOUGH_TOKENS, FEWEST_TOKENS = 16384, 2048, 256
"""Tokens of a micro-batch: the most that still make training faster; enough that keeping all activations pays more than
having more tokens; the fewest that are tried."""
MARGIN = 0.05
"""Fraction of a device's memory that a choice leaves free."""
LOOKED_AT = 32
"""Updates among which the largest micro-batch is looked for."""

ForecastFor = Callable[[Level, int], Forecast]
"""From a checkpointing level and the most tokens of a micro-batch to the forecast."""


@dataclass(frozen=True)
class Choice:
    """How a stage is run."""

    checkpointing: Level
    tokens_per_device: int
    reason: str
    forecast: Forecast

    def expected_gib(self, tokens: int) -> float:
        """Peak memory in GiB that PyTorch would allocate with micro-batches of `tokens` tokens."""
        always = sum(self.forecast.weights.values()) + self.forecast.optimizer + self.forecast.gradients
        return (always + (self.forecast.total - always) * tokens / self.tokens_per_device) / GIB


def choose(
    forecast_for: ForecastFor,
    available: int,
    largest: int,
    checkpointing: Level | Literal["auto"] = "auto",
    tokens: int | Literal["auto"] = "auto",
) -> Choice:
    """The first checkpointing level with which enough tokens fit into `available` bytes, and as many tokens as fit.

    `largest` is the number of tokens of the largest update; more than that are never needed. If nothing fits, the
    smallest configuration is returned, and its reason says so.
    """
    levels: list[Level] = list(LEVELS) if checkpointing == "auto" else [checkpointing]
    wanted = min(MOST_TOKENS, largest) if tokens == "auto" else tokens
    why = ""
    for level in levels:
        most, forecast = most_tokens(
            partial(forecast_for, level), available, wanted, exactly=tokens != "auto"
        )
        needed = required_bytes(forecast)
        said = f"{most:,} tokens at once take {needed / GIB:.1f} of {available / GIB:.1f} GiB"
        if needed > available:
            said += ", which do not fit"
        if level == levels[-1] or (needed <= available and most >= enough(level, wanted)):
            break
        why = f"; with {level}, {said}"
    return Choice(level, most, f"{said}{why}", forecast)


def enough(level: Level, wanted: int) -> int:
    """Tokens with which a level is preferred to those that need less memory.

    Keeping activations pays more than more tokens would; keeping checkpoints on the GPU instead of the host does not.
    """
    return wanted if level == "full" else min(ENOUGH_TOKENS, wanted)


def required_bytes(forecast: Forecast) -> int:
    """Bytes that PyTorch's allocator must be able to reserve."""
    return round(forecast.total * (1 + FRAGMENTS))


def most_tokens(
    forecast_for: Callable[[int], Forecast], available: int, wanted: int, exactly: bool = False
) -> tuple[int, Forecast]:
    """The most tokens up to `wanted` that fit into `available` bytes, and their forecast.

    Bytes grow almost linearly with tokens, so few forecasts are needed. With `exactly` no other number is tried. If
    nothing fits, the fewest tokens that were tried are returned.
    """
    forecast = forecast_for(wanted)
    if exactly or required_bytes(forecast) <= available or wanted <= FEWEST_TOKENS:
        return wanted, forecast
    high, at_high = wanted, required_bytes(forecast)
    low = max(FEWEST_TOKENS, wanted // 8)
    while required_bytes(least := forecast_for(low)) > available and low > FEWEST_TOKENS:
        high, at_high = low, required_bytes(least)
        low = max(FEWEST_TOKENS, low // 4)
    slope = max(1.0, (at_high - required_bytes(least)) / (high - low))
    tokens = _rounded(min(high, low + (available - required_bytes(least)) / slope))
    while tokens > low:
        forecast = forecast_for(tokens)
        if required_bytes(forecast) <= available:
            return tokens, forecast
        tokens = _rounded(tokens * 15 / 16 - 1)
    return low, least


def _rounded(tokens: float) -> int:
    return int(tokens) // FEWEST_TOKENS * FEWEST_TOKENS


def largest_shape(updates: BatchPlan, tokens: int) -> tuple[BatchShape, int]:
    """The largest micro-batch of at most `tokens` tokens, and the most micro-batches of an update.

    Looks at the first updates, and at the longest example.
    """
    examples = updates.examples
    steps = range(min(updates.steps_per_epoch, LOOKED_AT))
    cut = [updates.members(step, tokens) for step in steps]
    longest = int(examples.lengths.argmax())
    batches = [members for bins in cut for members in bins] + [[longest]]
    fullest = max(batches, key=lambda members: sum(examples.length(index) for index in members))
    seen = [
        tuple(placed.grid for index in members for placed in examples[index].pictures) for members in batches
    ]
    grids = max(seen, key=lambda grids: sum(rows * columns for rows, columns in grids))
    trained = max(sum(int(examples[index].trained.sum()) for index in members) for members in batches)
    lengths = tuple(examples.length(index) for index in fullest)
    return BatchShape(lengths, trained, grids), max(map(len, cut))
