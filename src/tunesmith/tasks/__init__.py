"""The registry of tasks: how a record is asked about, how an answer is read, and how a reading is marked.

One file per task. A task is one frozen object for training and evaluation alike, so they cannot drift apart.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self, final

from tunesmith.config.head import Head
from tunesmith.config.settings import Settings
from tunesmith.images.boxes import Box
from tunesmith.records.conversation import Conversation
from tunesmith.records.marks import refuse_marks
from tunesmith.records.record import Record
from tunesmith.records.survey import Survey
from tunesmith.records.unread import RowNotes, unread_fields
from tunesmith.tasks._prompt import Template, all_of


@dataclass(frozen=True)
class Answer:
    """What came back from the model for one conversation. Made by an engine."""

    text: str
    """The text, without control tokens and without thinking; of a scoring engine, the likeliest candidate."""
    ended: bool = True
    """False if the answer was cut at its longest allowed length."""
    scores: tuple[float, ...] | None = None
    """Of a scoring engine: natural-log likelihood of each of the task's candidates, in their order."""
    num_tokens: tuple[int, ...] | None = None
    """Of a scoring engine: number of tokens of each candidate."""
    probabilities: tuple[float, ...] | None = None
    """Of a scoring engine: probability of each candidate among them."""
    boxes: tuple[Box, ...] | None = None
    """Of a conversation that asks where things are: what the model's family reads in the text."""
    fault: str | None = None
    """Why it reads no boxes there."""


@dataclass(frozen=True)
class Unread:
    """An answer that could not be read. Counted and shown, never scored as if it were an answer."""

    why: str


@dataclass(frozen=True)
class Checked:
    """What `Task.check` returns."""

    conversation: Conversation
    notes: RowNotes


class Task(Settings):
    """What every task can do."""

    kind: Any
    system: Template | None = None
    """System prompt; `{name}` is the record's field of that name, `{{` a brace. None leaves it to the model's chat
    template."""
    num_shots: int = 0
    """Number of solved examples from the training side before the question."""

    default_metrics: ClassVar[tuple[str, ...]] = ()
    marks: ClassVar[tuple[str, ...]] = ()
    """Names of the numbers that `mark` gives. `correct` (1 or 0) is what tells fixed from broken answers."""

    @property
    def default_engine(self) -> str:
        """The engine that answers unless the settings name one."""
        return "generate"

    @property
    def untrained_engine(self) -> str:
        """The engine that answers for a model of which nothing was trained for the task."""
        return self.default_engine

    @property
    def head(self) -> Head | None:
        """The classification head that answers the task, or None if the answer is text."""
        return None

    @property
    def is_multi(self) -> bool:
        """True if a record can have any number of the task's classes."""
        return self.head is not None and self.head.multi

    @property
    def own_metrics(self) -> tuple[str, ...]:
        """Metrics to report unless the settings name some, the first of which tells the best checkpoint."""
        return self.default_metrics

    @property
    def given_marks(self) -> tuple[str, ...]:
        """Names of the numbers that `mark` gives with these settings."""
        return self.marks

    @property
    def labels_in_order(self) -> tuple[str, ...] | None:
        """Class names in the order of their indices, or None for a task without classes."""
        return None

    @property
    def positive_index(self) -> int | None:
        """Index of the class that a binary task is about, or None."""
        return None

    def decide(self, sources: Iterable[Iterable[Record]]) -> str | None:
        """What can only be known of whole sources, such as what numbers stand for (a word for `decided`); None if
        records can be read one by one. DataError if it cannot be known."""
        return None

    def decided(self, decision: str | None) -> Self:
        """The task with what `decide` said. Without it, what would have needed it is refused."""
        return self

    @abstractmethod
    def fields_asked(self) -> tuple[str, ...]:
        """Record fields that the question is made of, pictures among them; they tell duplicates unless
        `split.by` does."""

    def picture_fields(self) -> tuple[str, ...]:
        """Record fields that hold a picture or a list of pictures: read as such when data is prepared."""
        return ()

    def fields_joined(self) -> tuple[str, ...]:
        """Record fields of the reference answer that rows asking the same may share out, such as boxes."""
        return ()

    def fields_answered(self) -> tuple[str, ...]:
        """Record fields that the reference answer is made of."""
        return ()

    def fields_heeded(self) -> tuple[str, ...]:
        """Record fields that are read where a record has them, such as earlier turns."""
        return ("history",)

    def fields_as_json(self, record: Record) -> tuple[str, ...]:
        """Record fields whose values are written as JSON text."""
        return ()

    def laid_out(self, record: Record) -> Record:
        """The record in the layout that the task reads, before its pictures are read; DataError for a layout that
        would lose something."""
        return record

    @final
    def check(self, record: Record, plain: Collection[str] = ()) -> Checked:
        """The conversation of a record, after all that carries meaning in it was used. DataError names what would be
        lost, or trained as something else: fields, keys of messages, and marks of other tools (those in `plain` are
        text)."""
        used = (*self.fields_asked(), *self.fields_answered(), *self.fields_heeded())
        conversation, unread = all_of(lambda: self.conversation(record), lambda: unread_fields(record, used))
        refuse_marks(conversation, plain)
        return Checked(conversation, RowNotes(unread, self.fields_as_json(record)))

    def survey(self) -> Survey | None:
        """What learns from all records together while they are read, or None if there is nothing of the kind."""
        return None

    @abstractmethod
    def ask(self, record: Record, shots: Sequence[Conversation] = ()) -> Conversation:
        """The question alone, without a reference answer: the record needs no more than `fields_asked`. DataError
        (with the record's id) for a wrong field."""

    @abstractmethod
    def conversation(self, record: Record, shots: Sequence[Conversation] = ()) -> Conversation:
        """The question, as `ask` gives it, and its reference answer; DataError (with the record's id) for a wrong
        field."""

    def candidates(self, conversation: Conversation) -> tuple[str, ...]:
        """Texts whose likelihood a scoring engine compares; by default only the reference answer, if there is one."""
        return (conversation.answer,) if conversation.answer else ()

    @abstractmethod
    def read(self, answer: Answer) -> Any | Unread:
        """The value that the answer states (JSON-like), or why it cannot be read."""

    def reported(self, conversation: Conversation, reading: Any) -> Any:
        """The value that was read as someone who asked would want it told (JSON-like); by default as it was read."""
        return reading

    @abstractmethod
    def mark(
        self, conversation: Conversation, answer: Answer, reading: Any | Unread
    ) -> Mapping[str, float | None]:
        """Numbers for the metrics, by name. An Unread reading gets the marks of no answer at all."""

    def kinds(self, conversation: Conversation) -> Mapping[str, str]:
        """What kind of question it is, by the name of the distinction: results are broken down by it, beside the
        fields that `evaluate.by` names, where both or more kinds occur."""
        return {}
