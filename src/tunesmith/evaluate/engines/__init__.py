"""The registry of engines: one file per way of getting answers out of a model."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from tunesmith.config.settings import Settings

if TYPE_CHECKING:
    from tunesmith.model.families import Family
    from tunesmith.model.loaded import LoadedModel
    from tunesmith.records.conversation import Conversation
    from tunesmith.tasks import Answer, Task


class Engine(Settings):
    """What every engine can do."""

    kind: Any

    gives: ClassVar[str] = "text"
    """`text` if the model writes its answers, `scores` if it only weighs given ones."""

    def fitted(
        self,
        model: LoadedModel,
        task: Task,
        conversations: Sequence[Conversation],
        longest_answer: int = 0,
    ) -> Engine:
        """The engine with every limit settled that depends on all conversations, so that it answers a few of
        them as it would among all. `longest_answer` is the number of tokens of the longest answer known from
        elsewhere, such as the training records."""
        return self

    def warnings(self, family: Family, task: Task, conversations: Sequence[Conversation]) -> tuple[str, ...]:
        """What the user should know of these settings before anything is trained; ExperimentError if no answer
        could be right."""
        return ()

    @abstractmethod
    def answers(
        self, model: LoadedModel, task: Task, conversations: Sequence[Conversation]
    ) -> Iterator[tuple[int, Answer]]:
        """Index of each conversation and its answer, as they come (any order, each once)."""
