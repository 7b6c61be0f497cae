"""How long the examples are, how much of them is trained, and which limit on their length is sane."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from jaxtyping import Int

from tunesmith.audit.percentiles import spread
from tunesmith.audit.pictures import PictureTokens, count_pictures, sizes_of
from tunesmith.errors import DataError, counted
from tunesmith.model.families._sight import Sight
from tunesmith.records.conversation import Conversation
from tunesmith.train.examples import Examples

ROUND_UP_TO = 64


@dataclass(frozen=True)
class Audit:
    """Lengths of a sample of examples, in tokens or, in the quick mode, in characters."""

    mode: Literal["tokens", "characters"]
    samples: int
    lengths: dict[str, float]
    """min, mean, p50, p90, p95, p99 and max."""
    edges: tuple[float, ...]
    counts: tuple[int, ...]
    """Examples between an edge and the next."""
    trained_share: float
    """Share of all tokens (or characters) that carry loss."""
    limit: int | None
    over_limit: int
    """Examples that the limit hits."""
    recommended: int | None
    """The limit to set, in tokens; None in the quick mode."""
    pictures: PictureTokens | None = None
    """What pictures take; None if there are none."""
    not_counted: int = 0
    """Pictures that the quick mode left out."""

    def to_json(self) -> dict[str, Any]:
        """The form of `audit.json` (docs/run-folder.md)."""
        told: dict[str, Any] = {"mode": self.mode, "samples": self.samples, self.mode: self.lengths}
        if self.pictures is not None:
            told |= {"text_tokens": dict(self.pictures.text), "picture_tokens": self.pictures.to_json()}
        if self.not_counted:
            told["pictures_not_counted"] = self.not_counted
        return told | {
            "histogram": {"edges": list(self.edges), "counts": list(self.counts)},
            "trained_share": self.trained_share,
            "limit": self.limit,
            "over_limit": self.over_limit,
            "recommended": self.recommended,
        }

    def lines(self, width: int = 40) -> list[str]:
        """The audit as text: lengths, histogram, what is trained, what the limit hits, what to set."""
        tallest = max(self.counts)
        told = [f"{counted(self.samples, 'example')}, lengths in {self.mode}"]
        told += self._lengths()
        told += [
            f"{low:>7,.0f} to {high:<7,.0f} {'█' * round(width * count / tallest)} {count}"
            for (low, high), count in zip(pairwise(self.edges), self.counts, strict=True)
        ]
        told.append(f"{self.trained_share:.1%} of all {self.mode} are trained")
        if self.pictures is not None:
            told += self.pictures.lines()
        if self.not_counted:
            told.append(
                f"{counted(self.not_counted, 'picture is', 'pictures are')} not counted, being tokens and not "
                "characters; leave out --characters"
            )
        if self.limit:
            told.append(
                f"a limit of {self.limit:,} hits {self.over_limit} ({self.over_limit / self.samples:.1%})"
            )
        if self.recommended:
            told.append(f"recommended: data.length.max_tokens: {self.recommended}")
        return told

    def _lengths(self) -> Iterator[str]:
        """A line for each length; with pictures, those of text and of pictures beside that of all."""
        if self.pictures is None:
            yield from (f"{name:>7} {value:,.0f}" for name, value in self.lengths.items())
            return
        yield f"{'':>7} {'all':>9} {'text':>9} {'pictures':>9}"
        for name, value in self.lengths.items():
            text, seen = self.pictures.text[name], self.pictures.lengths[name]
            yield f"{name:>7} {value:>9,.0f} {text:>9,.0f} {seen:>9,.0f}"


def audit_tokens(examples: Examples, limit: int | None = None, sight: Sight | None = None) -> Audit:
    """The audit of examples as the model's own tokenizer and chat template make them; `sight` is how the model sees
    pictures, if it does."""
    lengths = examples.lengths
    trained = round(examples.trained_share * int(lengths.sum()))
    sizes = sizes_of(examples.all_placed)
    pictures = count_pictures(sight, sizes, examples.picture_lengths, lengths)
    return summarise(lengths, trained, "tokens", limit, pictures)


def audit_characters(conversations: Iterable[Conversation], limit: int | None = None) -> Audit:
    """The quick audit, which needs no tokenizer: characters of all turns and of the answer; pictures are left out."""
    lengths, trained, not_counted = [], 0, 0
    for conversation in conversations:
        asked = sum(len(turn.text) for turn in conversation.turns)
        lengths.append(asked + len(conversation.answer))
        trained += len(conversation.answer)
        not_counted += len(conversation.pictures)
    found = summarise(np.array(lengths, int), trained, "characters", limit)
    return replace(found, not_counted=not_counted)


def summarise(
    lengths: Int[np.ndarray, " example"],
    trained: int,
    mode: Literal["tokens", "characters"],
    limit: int | None,
    pictures: PictureTokens | None = None,
) -> Audit:
    """The audit of these lengths, of which `trained` in sum carry loss; DataError if there are none."""
    if not len(lengths):
        raise DataError("audit: there is no record to look at; check the source and the split")
    counts, edges = np.histogram(lengths, bins=min(20, len(np.unique(lengths))))
    return Audit(
        mode=mode,
        samples=len(lengths),
        lengths=spread(lengths),
        edges=tuple(edges.tolist()),
        counts=tuple(counts.tolist()),
        trained_share=trained / float(lengths.sum()),
        limit=limit,
        over_limit=int((lengths > limit).sum()) if limit else 0,
        recommended=recommend(lengths) if mode == "tokens" else None,
        pictures=pictures,
    )


def recommend(lengths: Int[np.ndarray, " example"]) -> int:
    """The longest example rounded up to 64 tokens; where a few are much longer than the rest (over twice the 99th
    percentile), that percentile rounded up."""
    longest, most = float(lengths.max()), float(np.percentile(lengths, 99))
    reach = longest if longest <= 2 * most else most
    return int(-(-reach // ROUND_UP_TO) * ROUND_UP_TO)
