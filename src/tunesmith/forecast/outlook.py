"""What training will take, said before it begins: memory by stage, which cards and methods would do, and time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tunesmith.forecast.choose import FEWEST_TOKENS, MOST_TOKENS, enough
from tunesmith.forecast.memory import GIB, Forecast
from tunesmith.forecast.time import EFFICIENCY
from tunesmith.methods import Method
from tunesmith.methods.full import Full
from tunesmith.methods.lora import Lora
from tunesmith.model.checkpointing import Level

CARDS = (8, 16, 24, 48, 80, 141)
"""GiB of the cards that are usual."""
MOST_SAID = 2**17
"""Tokens at once beyond which no more are counted."""
ENDS = (2048, 16384)
"""Tokens at once that lines are drawn through; with far fewer, other things than tokens count."""
COLUMNS = ("weights", "gradients", "optimizer", "activations", "logits", "workspace", "allocated", "device")


@dataclass(frozen=True)
class Line:
    """Bytes of the device by tokens at once: nearly a straight line."""

    always: float
    per_token: float

    @staticmethod
    def through(first: tuple[int, int], second: tuple[int, int]) -> Line:
        """The line through two pairs of tokens and bytes."""
        per_token = (second[1] - first[1]) / (second[0] - first[0])
        return Line(first[1] - per_token * first[0], per_token)

    def most_tokens(self, room: float) -> int:
        """Most tokens that fit into so many bytes, a multiple of 256; 0 if not even those fit.

        >>> Line(always=1000, per_token=1).most_tokens(2000)
        768
        """
        tokens = (room - self.always) / max(self.per_token, 1e-9)
        return max(0, min(MOST_SAID, int(tokens) // FEWEST_TOKENS * FEWEST_TOKENS))


@dataclass(frozen=True)
class Way:
    """One way of training: what of the model, in which precision."""

    name: str
    methods: Mapping[str, Method]
    precisions: Mapping[str, str]


@dataclass(frozen=True)
class Fits:
    """Where a way of training fits."""

    way: str
    lines: Mapping[Level, Line]

    def most_tokens(self, gib: float) -> dict[Level, int]:
        """By level, most tokens at once on a card of so many GiB; 0 where it does not fit."""
        return {level: line.most_tokens(gib * GIB) for level, line in self.lines.items()}

    def on(self, gib: float) -> tuple[Level, int] | None:
        """Level of checkpointing and most tokens at once on a card of so many GiB; None if it does not fit. The level
        is the one that training would take there (see `choice.choose`)."""
        fitting = [(level, tokens) for level, tokens in self.most_tokens(gib).items() if tokens]
        taken = (choice for choice in fitting if choice[1] >= enough(choice[0], MOST_TOKENS))
        return next(taken, fitting[-1] if fitting else None)


@dataclass(frozen=True)
class Work:
    """The arithmetic of a stage, and the device that would do it."""

    flop: float
    rate: float
    """FLOP a second of a matrix product there."""

    @property
    def seconds(self) -> float:
        """Time at the efficiency that training reaches."""
        return self.flop / (self.rate * EFFICIENCY)


@dataclass(frozen=True)
class StageOutlook:
    """What one stage takes."""

    stage: str
    tokens: int
    """At once."""
    forecasts: Mapping[Level, Forecast]
    most_tokens: Mapping[Level, int]
    """That fit into the memory that was asked about; empty if none was."""
    work: Work

    def to_json(self) -> dict[str, Any]:
        """Its form in JSON: bytes, seconds."""
        return {
            "stage": self.stage,
            "tokens_per_device": self.tokens,
            "memory": {level: forecast.to_json() for level, forecast in self.forecasts.items()},
            "most_tokens_per_device": dict(self.most_tokens),
            "seconds": self.work.seconds,
        }


@dataclass(frozen=True)
class Outlook:
    """What an experiment takes."""

    stages: tuple[StageOutlook, ...]
    fits: tuple[Fits, ...]
    """Ways of training the first stage's parts."""
    gib: float | None
    """The memory that was asked about."""
    device: str
    """What time was measured on."""

    def to_json(self) -> dict[str, Any]:
        """Its form in JSON."""
        return {
            "stages": [stage.to_json() for stage in self.stages],
            "memory_gib": self.gib,
            "device": self.device,
            "cards": {way.way: {str(gib): _as_json(way.on(gib)) for gib in CARDS} for way in self.fits},
        }

    def lines(self) -> list[str]:
        """Tables of memory and of cards, and the expected time, as text."""
        return [*self._memory(), *self._room(), *self._cards(), *self._time()]

    def _memory(self) -> Iterator[str]:
        wide = max(len("stage"), *(len(stage.stage) for stage in self.stages))
        yield "memory in GiB, by stage; with checkpointing none, selective, full or offload"
        yield f"{'stage':<{wide}}  {'':<9} {'tokens':>7}" + "".join(f"{name:>12}" for name in COLUMNS)
        for stage in self.stages:
            for level, forecast in stage.forecasts.items():
                row = "".join(f"{size / GIB:>12.2f}" for size in _row(forecast))
                yield f"{stage.stage:<{wide}}  {level:<9} {stage.tokens:>7,}{row}"

    def _room(self) -> Iterator[str]:
        for stage in self.stages if self.gib else ():
            said = ", ".join(
                f"{_capped(tokens)} with checkpointing {level}"
                if tokens
                else f"nothing fits with checkpointing {level}"
                for level, tokens in stage.most_tokens.items()
            )
            yield f"largest batch.max_tokens_per_microbatch of stage {stage.stage} in {self.gib:.4g} GiB: {said}"

    def _cards(self) -> Iterator[str]:
        yield "tokens at once that fit a card of so many GiB, without checkpointing or with (c); - is none"
        wide = max(len(way.way) for way in self.fits)
        yield f"{'':<{wide}}" + "".join(f"{gib:>10}" for gib in CARDS)
        for way in self.fits:
            cells = (_cell(way.on(gib)) for gib in CARDS)
            yield f"{way.way:<{wide}}" + "".join(f"{cell:>10}" for cell in cells)

    def _time(self) -> Iterator[str]:
        for stage in self.stages:
            work = stage.work
            yield (
                f"stage {stage.stage} should take {_duration(work.seconds)} on {self.device}: {work.flop:.2e} FLOP at "
                f"{EFFICIENCY:.0%} of the {work.rate / 1e12:.3g} TFLOP/s of a matrix product"
            )


def _row(forecast: Forecast) -> tuple[int, ...]:
    sizes = (
        forecast.gradients,
        forecast.optimizer,
        forecast.activations,
        forecast.logits,
        forecast.workspace,
    )
    return (sum(forecast.weights.values()), *sizes, forecast.total, forecast.device)


def _as_json(choice: tuple[Level, int] | None) -> dict[str, Any] | None:
    return None if choice is None else {"checkpointing": choice[0], "tokens_per_device": choice[1]}


def _cell(choice: tuple[Level, int] | None) -> str:
    if choice is None:
        return "-"
    level, tokens = choice
    return f"{_capped(tokens)}{'' if level == 'none' else ' c'}"


def _capped(tokens: int) -> str:
    """A number of tokens, or that there are more than are counted."""
    return f"{'>' if tokens >= MOST_SAID else ''}{tokens:,}"


def _duration(seconds: float) -> str:
    """In words that are as exact as the forecast.

    >>> _duration(0.2), _duration(59), _duration(5400)
    ('under 1 s', '59 s', '1.5 h')
    """
    if seconds < 1:
        return "under 1 s"
    return next(
        f"{seconds / size:.{places}f} {unit}"
        for unit, size, places in (("h", 3600, 1), ("min", 60, 0), ("s", 1, 0))
        if seconds >= size or unit == "s"
    )


def ways_of(methods: Mapping[str, Method], parts: tuple[str, ...], quantised: tuple[str, ...]) -> list[Way]:
    """The usual ways of training what a stage trains: its weights, adapters (as it has them, or of the default rank),
    and adapters on weights in each of the `quantised` precisions. A head stays as it is."""
    heads = {part: method for part, method in methods.items() if part not in parts}
    trained = [part for part, method in methods.items() if part in parts and method.kind != "frozen"]
    adapters = {part: methods[part] if methods[part].adds_adapter else Lora() for part in trained}
    bf16 = dict.fromkeys(parts, "bf16")
    if not trained:
        return [Way("head", heads, bf16)]
    return [
        Way("full", {part: Full() for part in trained} | heads, bf16),
        Way("lora", adapters | heads, bf16),
        *(Way(f"{kind} + lora", adapters | heads, dict.fromkeys(parts, kind)) for kind in quantised),
    ]


def fits(
    way: str,
    levels: Sequence[Level],
    forecast_for: Callable[[Level, int], tuple[int, Forecast]],
    least: float | None = None,
) -> Fits:
    """Where a way of training fits.

    `forecast_for` returns a forecast for about so many tokens, and the exact number. Levels behind the first one with
    which enough tokens fit into `least` GiB are left out.
    """
    lines: dict[Level, Line] = {}
    for level in levels:
        (few, small), (many, large) = (forecast_for(level, tokens) for tokens in ENDS)
        lines[level] = Line.through((few, small.device), (many, large.device))
        if least is not None and lines[level].most_tokens(least * GIB) >= enough(level, MOST_TOKENS):
            break
    return Fits(way, lines)
