"""Engine `head`: the probability of each class by the model's classification head, in one forward pass."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from tunesmith.errors import ModelError
from tunesmith.evaluate.engines import Engine
from tunesmith.tasks import Answer

if TYPE_CHECKING:
    from tunesmith.model.loaded import LoadedModel
    from tunesmith.records.conversation import Conversation
    from tunesmith.tasks import Task

_THERE = 0.5
"""Where classes do not exclude one another, one is named from this probability on."""


class Head(Engine):
    """The likeliest class; where a record can have any number of them, all that are likelier than not."""

    kind: Literal["head"] = "head"
    tokens_per_batch: Annotated[int, Field(ge=16)] = 8192
    """Most tokens in one forward pass (one longer question is a pass of its own)."""

    gives: ClassVar[str] = "scores"

    def answers(
        self, model: LoadedModel, task: Task, conversations: Sequence[Conversation]
    ) -> Iterator[tuple[int, Answer]]:
        """The longest questions first. ModelError if the model has no head or another one than the task asks for,
        DataError names all conversations that are longer than the model allows."""
        from tunesmith.batching.collator import collate, default_workers, to_device
        from tunesmith.evaluate.engines._inference import batches, inference, refuse_too_long
        from tunesmith.model.heads import refuse_other_head

        if model.head is None or task.head is None:
            raise ModelError(
                "evaluate.engine: the model has no head that could answer. Train one, or use engine: score"
            )
        labels = task.labels_in_order or ()
        refuse_other_head(model.head, task.head, labels)
        family = model.family
        prompts = list(family.prompt_all(conversations))
        sizes = [len(prompt) for prompt in prompts]
        lengths = ((prompt.record, size) for prompt, size in zip(prompts, sizes, strict=True))
        refuse_too_long(lengths, family.max_tokens, "Shorten the records, or leave them out of the data.")
        for members in batches(sizes, self.tokens_per_batch, padded=False):
            batch = collate([prompts[index] for index in members], default_workers(model.device))
            with inference(model):
                logits = model.class_logits(to_device(batch, model.device)).double()
            shares = logits.sigmoid() if task.head.multi else logits.softmax(-1)
            for index, probabilities in zip(members, shares.tolist(), strict=True):
                yield index, _answer(tuple(probabilities), labels, task.head.multi)


def _answer(probabilities: tuple[float, ...], labels: Sequence[str], is_multi: bool) -> Answer:
    """What the probabilities come to; an empty answer if the model gave NaN (its weights have diverged)."""
    import json

    if not all(map(math.isfinite, probabilities)):
        return Answer("")
    if is_multi:
        there = [label for label, one in zip(labels, probabilities, strict=True) if one > _THERE]
        return Answer(json.dumps(there, ensure_ascii=False), probabilities=probabilities)
    return Answer(labels[probabilities.index(max(probabilities))], probabilities=probabilities)
