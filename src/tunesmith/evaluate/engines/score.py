"""Engine `score`: how likely the model finds each candidate answer, in one forward pass, none written."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from tunesmith.evaluate.engines import Engine
from tunesmith.tasks import Answer

if TYPE_CHECKING:
    from tunesmith.model.loaded import LoadedModel
    from tunesmith.records.conversation import Conversation
    from tunesmith.tasks import Task


class Score(Engine):
    """The likeliest of the task's candidates, with the probability of each."""

    kind: Literal["score"] = "score"
    tokens_per_batch: Annotated[int, Field(ge=16)] = 4096
    """Most tokens in one forward pass (one longer question is a pass of its own)."""
    normalise: Literal["sum", "mean"] = "sum"
    """Compare candidates by their whole likelihood, or by its mean per token, which favours no short one."""

    gives: ClassVar[str] = "scores"

    def answers(
        self, model: LoadedModel, task: Task, conversations: Sequence[Conversation]
    ) -> Iterator[tuple[int, Answer]]:
        """The longest first. DataError names all conversations that are longer than the model allows."""
        from tunesmith.evaluate.engines._candidates import Question, log_likelihoods
        from tunesmith.evaluate.engines._inference import batches, refuse_too_long

        family = model.family
        texts = [task.candidates(conversation) for conversation in conversations]
        questions = [
            Question.of(
                family.prompt(conversation), [family.continuation(conversation, text) for text in candidates]
            )
            for conversation, candidates in zip(conversations, texts, strict=True)
        ]
        lengths = (
            (conversation.record, question.longest)
            for conversation, question in zip(conversations, questions, strict=True)
        )
        refuse_too_long(lengths, family.max_tokens, "Shorten the records, or leave them out of the data.")
        sizes = [question.size for question in questions]
        for batch in batches(sizes, self.tokens_per_batch, padded=False):
            weighed = log_likelihoods(model, [questions[index] for index in batch])
            for index, scores in zip(batch, weighed, strict=True):
                yield index, self._answer(texts[index], scores, questions[index].num_tokens)

    def _answer(
        self, candidates: Sequence[str], scores: Sequence[float], num_tokens: tuple[int, ...]
    ) -> Answer:
        """The likeliest candidate; an empty answer if the model gave NaN (its weights have diverged)."""
        if not all(math.isfinite(score) for score in scores):
            return Answer("")
        is_mean = self.normalise == "mean"
        compared = [score / (size if is_mean else 1) for score, size in zip(scores, num_tokens, strict=True)]
        best = max(compared)
        shares = [math.exp(score - best) for score in compared]
        probabilities = tuple(share / sum(shares) for share in shares)
        text = candidates[compared.index(best)]
        return Answer(text, scores=tuple(scores), num_tokens=num_tokens, probabilities=probabilities)
