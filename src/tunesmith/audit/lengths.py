"""How long the examples are, how much of them is trained, and which limit on their length is sane."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Literal

import numpy as np
from jaxtyping import Int

from tunesmith.audit.percentiles import spread
from tunesmith.audit.pictures import count_pictures, picture_lines, sizes_of
from tunesmith.errors import DataError, counted
from tunesmith.model.families._image_processor import ImageProcessorConfig
from tunesmith.records.conversation import Conversation
from tunesmith.runs.audit import Audit, Histogram
from tunesmith.train.examples import Examples

ROUND_UP_TO = 64


def audit_lines(audit: Audit, width: int = 40) -> list[str]:
    """The audit as text: lengths, histogram, trained share, the effect of the limit, and a recommended limit."""
    histogram = audit.histogram
    tallest = max(histogram.counts)
    lines = [f"{counted(audit.samples, 'example')}, lengths in {audit.mode}", *_length_lines(audit)]
    lines += [
        f"{low:>7,.0f} to {high:<7,.0f} {'█' * round(width * count / tallest)} {count}"
        for (low, high), count in zip(pairwise(histogram.edges), histogram.counts, strict=True)
    ]
    if audit.trained_share is not None:
        lines.append(f"{audit.trained_share:.1%} of all {audit.mode} are trained")
    if audit.picture_tokens is not None:
        lines += picture_lines(audit.picture_tokens)
    if audit.pictures_not_counted:
        lines.append(
            f"{counted(audit.pictures_not_counted, 'picture is', 'pictures are')} not counted, being tokens and not "
            "characters; leave out --characters"
        )
    if audit.limit:
        over = audit.over_limit or 0
        lines.append(f"a limit of {audit.limit:,} hits {over} ({over / audit.samples:.1%})")
    if audit.recommended:
        lines.append(f"recommended: data.length.max_tokens: {audit.recommended}")
    return lines


def _length_lines(audit: Audit) -> Iterator[str]:
    """A line for each statistic; with images, separate columns for text and images."""
    if audit.picture_tokens is None or audit.text_tokens is None:
        yield from (f"{name:>7} {value:,.0f}" for name, value in audit.lengths.items())
        return
    images = vars(audit.picture_tokens)
    yield f"{'':>7} {'all':>9} {'text':>9} {'pictures':>9}"
    for name, value in audit.lengths.items():
        yield f"{name:>7} {value:>9,.0f} {audit.text_tokens[name]:>9,.0f} {images[name]:>9,.0f}"


def audit_tokens(
    examples: Examples, limit: int | None = None, image_processor: ImageProcessorConfig | None = None
) -> Audit:
    """The audit of examples as the model's own tokenizer and chat template make them.

    `image_processor` has the settings of a model with vision.
    """
    lengths = examples.lengths
    trained = round(examples.trained_share * int(lengths.sum()))
    sizes = sizes_of(examples.all_placed)
    audit = summarise(lengths, trained, "tokens", limit)
    pictures = count_pictures(image_processor, sizes, examples.picture_lengths, lengths)
    if pictures is None:
        return audit
    return replace(audit, text_tokens=spread(lengths - examples.picture_lengths), picture_tokens=pictures)


def audit_characters(conversations: Iterable[Conversation], limit: int | None = None) -> Audit:
    """The quick audit, which needs no tokenizer: characters of all turns and of the answer; pictures are left out."""
    lengths, trained, not_counted = [], 0, 0
    for conversation in conversations:
        asked = sum(len(turn.text) for turn in conversation.turns)
        lengths.append(asked + len(conversation.answer))
        trained += len(conversation.answer)
        not_counted += len(conversation.pictures)
    found = summarise(np.array(lengths, int), trained, "characters", limit)
    return replace(found, pictures_not_counted=not_counted)


def summarise(
    lengths: Int[np.ndarray, " example"],
    trained: int,
    mode: Literal["tokens", "characters"],
    limit: int | None,
) -> Audit:
    """The audit of these lengths, of which `trained` in sum carry loss; DataError if there are none."""
    if not len(lengths):
        raise DataError("audit: there is no record to look at; check the source and the split")
    counts, edges = np.histogram(lengths, bins=min(20, len(np.unique(lengths))))
    return Audit(
        mode=mode,
        samples=len(lengths),
        histogram=Histogram(tuple(edges.tolist()), tuple(counts.tolist())),
        tokens=spread(lengths) if mode == "tokens" else None,
        characters=spread(lengths) if mode == "characters" else None,
        trained_share=trained / float(lengths.sum()),
        limit=limit,
        over_limit=int((lengths > limit).sum()) if limit else 0,
        recommended=recommend(lengths) if mode == "tokens" else None,
    )


def recommend(lengths: Int[np.ndarray, " example"]) -> int:
    """The longest example rounded up to 64 tokens; where a few are much longer than the rest (over twice the 99th
    percentile), that percentile rounded up."""
    longest, most = float(lengths.max()), float(np.percentile(lengths, 99))
    reach = longest if longest <= 2 * most else most
    return int(-(-reach // ROUND_UP_TO) * ROUND_UP_TO)
