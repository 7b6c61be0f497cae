"""Which activations are kept and how many tokens go at once, so that a stage runs as fast as its memory allows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

from tunesmith.forecast.memory import FRAGMENTS, GIB, BatchShape, Forecast
from tunesmith.model.checkpointing import LEVELS, Level
from tunesmith.train.batch_plan import BatchPlan

MOST_TOKENS, ENOUGH_TOKENS, FEWEST_TOKENS = 16384, 2048, 256
"""More tokens at once are no faster; with so many, keeping all activations pays more than having more tokens would; and
what is tried last."""
MARGIN = 0.05
"""Share of a device's memory that a choice leaves free."""
LOOKED_AT = 32
"""Updates of which the largest micro-batch is looked for."""

Told = Callable[[Level, int], Forecast]
"""The forecast with micro-batches of at most so many tokens."""


@dataclass(frozen=True)
class Choice:
    """How a stage is run."""

    checkpointing: Level
    tokens_per_device: int
    reason: str
    told: Forecast
    """What it takes."""

    def expected_gib(self, tokens: int) -> float:
        """GiB that PyTorch would have allocated at its peak with micro-batches of so many tokens."""
        always = sum(self.told.weights.values()) + self.told.optimizer + self.told.gradients
        return (always + (self.told.total - always) * tokens / self.tokens_per_device) / GIB


def choose(
    told: Told,
    room: int,
    largest: int,
    checkpointing: Level | Literal["auto"] = "auto",
    tokens: int | Literal["auto"] = "auto",
) -> Choice:
    """The first level of checkpointing with which enough tokens fit into `room` bytes, and as many tokens as fit.

    `largest` are the tokens of the largest update, beyond which nothing is to be had. Where nothing fits, the smallest
    that can be tried, which the reason says.
    """
    levels: list[Level] = list(LEVELS) if checkpointing == "auto" else [checkpointing]
    wanted = min(MOST_TOKENS, largest) if tokens == "auto" else tokens
    why = ""
    for level in levels:
        found, forecast = most_tokens(partial(told, level), room, wanted, exactly=tokens != "auto")
        needed = needs(forecast)
        said = f"{found:,} tokens at once take {needed / GIB:.1f} of {room / GIB:.1f} GiB"
        if needed > room:
            said += ", which do not fit"
        if level == levels[-1] or (needed <= room and found >= enough(level, wanted)):
            break
        why = f"; with {level}, {said}"
    return Choice(level, found, f"{said}{why}", forecast)


def enough(level: Level, wanted: int) -> int:
    """Tokens at once with which a level is taken before those that need less memory. Keeping activations pays more than
    having more tokens would; keeping on the GPU what layers are done again from does not."""
    return wanted if level == "full" else min(ENOUGH_TOKENS, wanted)


def needs(told: Forecast) -> int:
    """Bytes that PyTorch's allocator must be able to get for it."""
    return round(told.total * (1 + FRAGMENTS))


def most_tokens(
    told: Callable[[int], Forecast], room: int, wanted: int, exactly: bool = False
) -> tuple[int, Forecast]:
    """As many tokens up to `wanted` as fit into `room` bytes, and what they take; the fewest that were tried if none
    fit. Bytes grow with tokens nearly in a straight line. `exactly` tries no others."""
    forecast = told(wanted)
    if exactly or needs(forecast) <= room or wanted <= FEWEST_TOKENS:
        return wanted, forecast
    high, at_high = wanted, needs(forecast)
    low = max(FEWEST_TOKENS, wanted // 8)
    while needs(least := told(low)) > room and low > FEWEST_TOKENS:
        high, at_high = low, needs(least)
        low = max(FEWEST_TOKENS, low // 4)
    slope = max(1.0, (at_high - needs(least)) / (high - low))
    tokens = _rounded(min(high, low + (room - needs(least)) / slope))
    while tokens > low:
        forecast = told(tokens)
        if needs(forecast) <= room:
            return tokens, forecast
        tokens = _rounded(tokens * 15 / 16 - 1)
    return low, least


def _rounded(tokens: float) -> int:
    return int(tokens) // FEWEST_TOKENS * FEWEST_TOKENS


def largest_shape(updates: BatchPlan, tokens: int) -> tuple[BatchShape, int]:
    """The largest micro-batch, and most micro-batches in an update, if those have at most so many tokens: of the first
    updates and of the longest example."""
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
