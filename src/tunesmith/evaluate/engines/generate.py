"""Engine `generate`: the model writes its answers, greedily."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, PrivateAttr

from tunesmith.errors import ExperimentError, counted
from tunesmith.evaluate.engines import Engine
from tunesmith.tasks import Answer

if TYPE_CHECKING:
    from tunesmith.batching.example import Example
    from tunesmith.model.families import Family
    from tunesmith.model.loaded import LoadedModel
    from tunesmith.records.conversation import Conversation
    from tunesmith.tasks import Task

MARGIN = 16
MARGIN_SHARE = 8
"""The margin over the longest reference: 16 tokens, or an eighth of it if that is more."""
WITHOUT_REFERENCE = 1024
WITH_THINKING = 8192


class Generate(Engine):
    """Answers written greedily; the model's own sampling settings and penalties do not apply."""

    kind: Literal["generate"] = "generate"
    max_new_tokens: Annotated[int, Field(ge=1)] | None = None
    """Maximum number of tokens in an answer; none is the longest reference and a margin (an eighth of it, at least 16
    tokens), at least 8,192 if the model thinks, and 1,024 where no reference is known."""
    tokens_per_batch: Annotated[int, Field(ge=16)] = 16384
    """Most tokens in one batch: padded prompts and longest answers."""

    _follows_references: bool = PrivateAttr(default=False)
    """True if `max_new_tokens` was computed, so that it gives way where a prompt leaves less room."""

    def fitted(
        self,
        model: LoadedModel,
        task: Task,
        conversations: Sequence[Conversation],
        longest_answer: int = 0,
    ) -> Generate:
        """The engine with `max_new_tokens` set."""
        if self.max_new_tokens is not None:
            return self
        lengths = [longest_answer, *_lengths(model.family, task, conversations)]
        limit = _limit(max(lengths), model.family)
        engine = self.model_copy(update={"max_new_tokens": limit})
        engine._follows_references = True
        return engine

    def warnings(self, family: Family, task: Task, conversations: Sequence[Conversation]) -> tuple[str, ...]:
        """One sentence if `max_new_tokens` cuts some of the reference answers; ExperimentError if it cuts all."""
        if self.max_new_tokens is None:
            return ()
        lengths = {one.record: len(family.continuation(one)) for one in conversations if one.answer}
        cut = [record for record, length in lengths.items() if length > self.max_new_tokens]
        if not cut:
            return ()
        longest = max(lengths, key=lambda record: lengths[record])
        text = (
            f"evaluate.engine.max_new_tokens: {self.max_new_tokens:,} tokens are fewer than "
            f"{len(cut):,} of {counted(len(lengths), 'reference answer')} {'needs' if len(lengths) == 1 else 'need'} "
            f"(the longest, of {longest}, has {lengths[longest]:,}), so even a perfect answer would be cut. Set it to "
            f"{_limit(lengths[longest], family)}, or leave it out"
        )
        if len(cut) == len(lengths):
            raise ExperimentError(text)
        return (text,)

    def answers(
        self, model: LoadedModel, task: Task, conversations: Sequence[Conversation]
    ) -> Iterator[tuple[int, Answer]]:
        """The longest questions first. DataError names all that leave too little room for an answer."""
        if not conversations:
            return
        if self.max_new_tokens is None:
            yield from self.fitted(model, task, conversations).answers(model, task, conversations)
            return
        from tunesmith.evaluate.engines._inference import batches
        from tunesmith.evaluate.engines._writing import write

        family, most = model.family, self.max_new_tokens
        prompts = list(family.prompt_all(conversations))
        self._refuse_without_room(family, conversations, prompts)
        limits = [max(1, min(most, family.max_tokens - len(prompt))) for prompt in prompts]
        # One limit holds for a whole batch, so a prompt with a smaller limit is answered alone.
        alone = [index for index, limit in enumerate(limits) if limit < most]
        together = [index for index, limit in enumerate(limits) if limit == most]
        sizes = [len(prompts[index]) + most for index in together]
        batched = (
            [together[place] for place in batch] for batch in batches(sizes, self.tokens_per_batch, True)
        )
        for batch in chain(([index] for index in alone), batched):
            written = write(model, [prompts[index] for index in batch], limits[batch[0]])
            for index, tokens in zip(batch, written, strict=True):
                yield index, _answer(family, conversations[index], tokens)

    def _refuse_without_room(
        self, family: Family, conversations: Sequence[Conversation], prompts: Sequence[Example]
    ) -> None:
        """Raise DataError for prompts after which the model's positions do not reach for the answer: as many as were
        asked for, or the record's own reference."""
        from tunesmith.evaluate.engines._inference import refuse_too_long

        most = self.max_new_tokens or 1
        sizes = []
        for conversation, prompt in zip(conversations, prompts, strict=True):
            needed = most
            if self._follows_references and len(prompt) + most > family.max_tokens:
                needed = min(most, len(family.continuation(conversation)) if conversation.answer else 1)
            sizes.append((conversation.record, len(prompt) + needed))
        what = (
            "the answer's are among them"
            if self._follows_references
            else f"{most} of them are for the answer"
        )
        refuse_too_long(sizes, family.max_tokens, f"{what} (evaluate.engine.max_new_tokens).")


def _answer(family: Family, conversation: Conversation, tokens: list[int]) -> Answer:
    """What was written, with the boxes that it names if they were asked for."""
    text, ended = family.parse(tokens)
    if conversation.boxes is None:
        return Answer(text, ended)
    try:
        return Answer(text, ended, boxes=family.boxes(text, conversation.boxes))
    except ValueError as fault:
        return Answer(text, ended, fault=str(fault))


def _lengths(family: Family, task: Task, conversations: Sequence[Conversation]) -> Iterator[int]:
    """Tokens of every reference, of all that is accepted in its place, and of the task's candidates."""
    for text in task.candidates(conversations[0]) if conversations else ():
        yield len(family.continuation(conversations[0], text))
    for one in conversations:
        if one.answer:
            yield from (len(family.continuation(one, text)) for text in (None, *one.accepted))


def _limit(longest: int, family: Family) -> int:
    """The limit where the longest known answer has this many tokens (0 if none is known)."""
    limit = longest + max(MARGIN, longest // MARGIN_SHARE) if longest else WITHOUT_REFERENCE
    return max(limit, min(WITH_THINKING, family.max_tokens // 2)) if family.thinking else limit
