"""`audit.json`: lengths of the training examples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from tunesmith.runs.json_file import JsonFile


@dataclass(frozen=True)
class Histogram:
    """Counts between edges; there is one edge more than counts."""

    edges: tuple[float, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True)
class PixelBudget:
    """One choice of `model.pixels`, and how many tokens the examples have with it."""

    pixels: Mapping[str, Any]
    """The settings of `model.pixels`."""
    largest: int
    """Tokens of the largest image."""
    mean: float
    """Mean tokens of an example with its text unchanged. Where boxes are written in pixels of the resized image,
    smaller numbers save slightly more."""
    saved: float
    """Share of all tokens that is saved."""

    @property
    def name(self) -> str:
        """`model.pixels.max: 153664`."""
        if set(self.pixels) == {"max"}:
            return f"model.pixels.max: {self.pixels['max']}"
        listed = ", ".join(f"{name}: {value}" for name, value in self.pixels.items())
        return f"model.pixels: {{{listed}}}"


@dataclass(frozen=True)
class PictureTokens:
    """Image tokens of the examples: percentiles over examples, totals, and smaller pixel budgets."""

    mean: float
    max: float
    pictures: int
    """Number of images."""
    per_example: float
    """Mean number of images in an example."""
    share: float
    """Share of image tokens in all tokens."""
    min: float | None = None
    p50: float | None = None
    p90: float | None = None
    p95: float | None = None
    p99: float | None = None
    budgets: tuple[PixelBudget, ...] = ()
    """The experiment's own settings, then smaller ones."""


@dataclass(frozen=True)
class Audit:
    """The content of `audit.json`: lengths of a sample of examples, in tokens or in characters."""

    mode: Literal["tokens", "characters"]
    samples: int
    histogram: Histogram
    tokens: Mapping[str, float] | None = None
    """min, mean, p50, p90, p95, p99 and max; None if characters were counted."""
    characters: Mapping[str, float] | None = None
    """The same in characters; None if tokens were counted."""
    text_tokens: Mapping[str, float] | None = None
    """The same of the tokens that are not image tokens; None without images."""
    picture_tokens: PictureTokens | None = None
    """None without images."""
    pictures_not_counted: int = 0
    """Images that were left out because characters were counted."""
    trained_share: float | None = None
    """Share of all tokens (or characters) that carry loss."""
    limit: int | None = None
    """The limit on the length of an example, in tokens."""
    over_limit: int | None = None
    """Number of examples over the limit."""
    recommended: int | None = None
    """The recommended limit, in tokens; None if characters were counted."""

    @property
    def lengths(self) -> Mapping[str, float]:
        """Smallest, mean, percentiles and largest, in the unit of `mode`."""
        return self.tokens or self.characters or {}


AUDIT = JsonFile[Audit](
    "audit.json",
    Audit,
    omitted=("tokens", "characters", "text_tokens", "picture_tokens", "pictures_not_counted"),
)
