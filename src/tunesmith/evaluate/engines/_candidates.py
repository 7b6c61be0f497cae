"""Likelihoods of several answers to one question in one forward pass, the question computed once.

A question is laid out as a trunk (the prompt, and what all candidates begin with) and a branch for the
rest of each candidate, which continues the trunk.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float64, Int32, Int64
from torch import Tensor

from tunesmith.batching.batch import Batch, Segments
from tunesmith.batching.collator import collate_pixels, default_workers, to_device
from tunesmith.batching.example import Example
from tunesmith.batching.positions import with_pictures
from tunesmith.evaluate.engines._inference import inference
from tunesmith.model.loaded import LoadedModel

Tokens = Int32[np.ndarray, "_"]
_ROWS_AT_ONCE = 512


@dataclass(frozen=True, eq=False)
class Question:
    """A prompt and its candidates as tokens."""

    prompt: Example
    trunk: Tokens
    """The prompt, then the tokens that all candidates begin with."""
    branches: tuple[Tokens, ...]
    """What each candidate goes on with: at least one token."""

    @staticmethod
    def of(prompt: Example, candidates: Sequence[Tokens]) -> Question:
        """The question with each of its candidates (tokens, the end included)."""
        most = min(len(candidate) for candidate in candidates) - 1
        starts = np.stack([candidate[:most] for candidate in candidates])
        shared = int((starts == starts[0]).all(0).cumprod().sum())
        trunk = np.concatenate([prompt.tokens, candidates[0][:shared]])
        return Question(prompt, trunk, tuple(candidate[shared:] for candidate in candidates))

    @property
    def prompt_length(self) -> int:
        """Tokens of the prompt."""
        return len(self.prompt)

    @property
    def num_shared(self) -> int:
        """Tokens that all candidates begin with."""
        return len(self.trunk) - self.prompt_length

    @property
    def num_tokens(self) -> tuple[int, ...]:
        """Tokens of each candidate."""
        return tuple(self.num_shared + len(branch) for branch in self.branches)

    @property
    def size(self) -> int:
        """Tokens that go through the model. The last one of a candidate need not: nothing comes after it."""
        return len(self.trunk) + sum(len(branch) - 1 for branch in self.branches)

    @property
    def longest(self) -> int:
        """Tokens up to the end of the longest candidate."""
        return self.prompt_length + max(self.num_tokens)


@dataclass(frozen=True, eq=False)
class Laid:
    """Questions as one packed batch, and where each candidate's tokens are predicted."""

    batch: Batch
    rows: Int64[Tensor, " weighed"]
    """Prediction of the batch that weighs a token."""
    tokens: Int64[Tensor, " weighed"]
    """The token that it weighs."""
    candidates: Int64[Tensor, " weighed"]
    """Candidate (counted over all questions) whose token it is."""


def log_likelihoods(loaded: LoadedModel, questions: Sequence[Question]) -> list[list[float]]:
    """Natural-log likelihood of each candidate of each question, given its prompt."""
    laid = lay_out(questions, default_workers(loaded.device))
    with inference(loaded):
        logits = loaded.logits(to_device(laid.batch, loaded.device))
        weighed = _log_probabilities(logits, laid.rows.to(logits.device), laid.tokens.to(logits.device))
    sizes = [len(question.branches) for question in questions]
    sums = torch.zeros(sum(sizes), dtype=torch.float64).index_add_(0, laid.candidates, weighed.cpu())
    return [part.tolist() for part in sums.split(sizes)]


def lay_out(questions: Sequence[Question], workers: int = 1) -> Laid:
    """One line: every question's trunk, then its branches, each without its last token. Pictures are read by so many
    workers."""
    lengths: list[int] = []
    continues: list[int] = []
    pieces, positions, predicting, rows, tokens, owners, starts = [], [], [], [], [], [], []
    at, row, owner = 0, 0, 0
    for question in questions:
        trunk = len(lengths)
        lengths.append(len(question.trunk))
        continues.append(-1)
        pieces.append(question.trunk)
        starts.append(at)
        on_trunk = with_pictures(len(question.trunk), question.prompt.pictures)
        positions.append(on_trunk)
        after = int(on_trunk.max()) + 1
        predicting.append(at + np.arange(question.prompt_length - 1, len(question.trunk)))
        shared = row + np.arange(question.num_shared)
        fork = row + question.num_shared
        at, row = at + len(question.trunk), fork + 1
        for branch in question.branches:
            fed = len(branch) - 1
            rows.append(np.concatenate([shared, [fork], row + np.arange(fed)]))
            tokens.append(np.concatenate([question.trunk[question.prompt_length :], branch]))
            owners.append(np.full(question.num_shared + len(branch), owner))
            owner += 1
            if fed:
                lengths.append(fed)
                continues.append(trunk)
                pieces.append(branch[:-1])
                positions.append(np.broadcast_to(after + np.arange(fed), (3, fed)))
                predicting.append(at + np.arange(fed))
            at, row = at + fed, row + fed
    weighing, weighed = _joined(rows), _joined(tokens)
    targets = torch.zeros(row, dtype=torch.long).scatter_(0, weighing, weighed)
    segments = Segments.end_to_end(lengths, continues)
    prompts = [question.prompt for question in questions]
    pixels = collate_pixels(prompts, starts, workers)
    axes = torch.from_numpy(np.concatenate(positions, axis=1).astype(np.int64))
    places = axes if pixels is not None else axes[:1]
    batch = Batch(_joined(pieces), places, _joined(predicting), targets, segments, pixels)
    return Laid(batch, weighing, weighed, _joined(owners))


def _joined(parts: Sequence[np.ndarray]) -> Int64[Tensor, "all"]:
    return torch.from_numpy(np.concatenate(parts).astype(np.int64))


def _log_probabilities(
    logits: Float[Tensor, "prediction vocabulary"],
    rows: Int64[Tensor, " weighed"],
    tokens: Int64[Tensor, " weighed"],
) -> Float64[Tensor, " weighed"]:
    """Log probability of each token by its row of logits; the logits are never copied to fp32 all at once."""
    totals = torch.cat([some.float().logsumexp(-1) for some in logits.split(_ROWS_AT_ONCE)])
    return logits[rows, tokens].double() - totals[rows].double()
