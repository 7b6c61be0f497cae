"""Engine `generate`: the model writes its answers, greedily."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from tunesmith.evaluate.engines import Engine
from tunesmith.tasks import Answer

if TYPE_CHECKING:
    from tunesmith.data.conversation import Conversation
    from tunesmith.model.families import Family
    from tunesmith.model.loaded import LoadedModel
    from tunesmith.tasks import Task

MARGIN = 16
MOST = 1024
MOST_WITH_THINKING = 8192


class Generate(Engine):
    """Answers written greedily; the model's own sampling settings and penalties do not apply."""

    kind: Literal["generate"] = "generate"
    max_new_tokens: Annotated[int, Field(ge=1)] | None = None
    """Longest answer in tokens; none is the longest reference and 16, at most 1,024 (8,192 thinking), and the most
    where no reference is known."""
    tokens_per_batch: Annotated[int, Field(ge=16)] = 16384
    """Most tokens in one batch: padded prompts and longest answers."""

    def fitted(self, model: LoadedModel, task: Task, conversations: Sequence[Conversation]) -> Generate:
        """The engine with its longest answer settled."""
        if self.max_new_tokens is not None:
            return self
        return self.model_copy(update={"max_new_tokens": _longest_answer(model, task, conversations)})

    def answers(
        self, model: LoadedModel, task: Task, conversations: Sequence[Conversation]
    ) -> Iterator[tuple[int, Answer]]:
        """The longest questions first. DataError names all that are longer than the model allows."""
        if not conversations:
            return
        from tunesmith.evaluate.engines._inference import batches, refuse_too_long
        from tunesmith.evaluate.engines._writing import write

        family = model.family
        most = self.max_new_tokens or _longest_answer(model, task, conversations)
        prompts = list(family.prompt_all(conversations))
        sizes = [len(prompt) + most for prompt in prompts]
        lengths = (
            (conversation.record, size) for conversation, size in zip(conversations, sizes, strict=True)
        )
        refuse_too_long(
            lengths, family.max_tokens, f"{most} of them are for the answer (evaluate.engine.max_new_tokens)."
        )
        for batch in batches(sizes, self.tokens_per_batch, padded=True):
            for index, tokens in zip(
                batch, write(model, [prompts[index] for index in batch], most), strict=True
            ):
                yield index, _answer(family, conversations[index], tokens)


def _answer(family: Family, conversation: Conversation, tokens: list[int]) -> Answer:
    """What was written, with the boxes that it names if they were asked for."""
    text, ended = family.parse(tokens)
    if conversation.boxes is None:
        return Answer(text, ended)
    try:
        return Answer(text, ended, boxes=family.boxes(text, conversation.boxes))
    except ValueError as fault:
        return Answer(text, ended, fault=str(fault))


def _longest_answer(model: LoadedModel, task: Task, conversations: Sequence[Conversation]) -> int:
    if model.family.thinking:
        return min(MOST_WITH_THINKING, model.family.max_tokens // 2)
    first = conversations[0]
    answers: list[tuple[Conversation, str | None]] = [(first, text) for text in task.candidates(first)]
    answers += [(one, text) for one in conversations if one.answer for text in (None, *one.accepted)]
    longest = max((len(model.family.continuation(one, text)) for one, text in answers), default=MOST)
    return min(longest + MARGIN, MOST)
