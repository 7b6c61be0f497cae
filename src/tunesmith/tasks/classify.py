"""Task `classify`: one of several classes, answered as its label, as JSON, as a letter, or by a head."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from string import ascii_uppercase
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, PrivateAttr, ValidationInfo, field_validator

from tunesmith.config.head import Head
from tunesmith.config.settings import FieldNames
from tunesmith.errors import DataError, did_you_mean
from tunesmith.records.conversation import Conversation
from tunesmith.records.fields import value_at
from tunesmith.records.record import Record
from tunesmith.tasks import Answer, Task, Unread
from tunesmith.tasks._forms import AnyForm, HeadForm, LetterForm, TextForm
from tunesmith.tasks._labels import ClassNames, LabelValues, codes_by_text, common_reading, reading_of
from tunesmith.tasks._prompt import Template, all_of, fields_of, json_fields, question, turns, value_of
from tunesmith.tasks._said import plain
from tunesmith.tasks._sets import MARKS_OF_SETS, marks_of_set

_Codes = Annotated[
    dict[str, str], BeforeValidator(codes_by_text, json_schema_input_type=dict[str | int, str])
]


class Classify(Task):
    """One of several classes."""

    kind: Literal["classify"] = "classify"
    labels: Annotated[list[str] | _Codes, Field(min_length=2)]
    """Classes in order, as the model names them; or a mapping from the value in the data to that name, such as
    `{1: World, 2: Sports}`. A number in the data that spells a label is that label. Numbers are positions in the list
    (from 0) only if 0 occurs in the source, all are below the number of labels, and no label holds another such
    number; else the mapping is asked for."""
    field: str = "label"
    """Record field with the class: its label, a key of the mapping, or its position in `labels`. For a head with
    `multi` a list of those, or of a 0 or 1 for each label."""
    prompt: Template
    """The question; `{name}` is the record's field of that name, `{options}` the classes, `{{` a brace."""
    pictures: FieldNames = Field(default_factory=list)
    """Record fields with a picture, or a list of them: shown where the prompt names the field, else before it."""
    answer: AnyForm = TextForm()
    """Form of the answer: `text` (the label), `json` (`{"category":"World"}`), `letter` (A, B, C), or a `head` on the
    model's hidden states, which writes nothing."""
    positive: str | None = None
    """Label that precision, recall and F1 are about, such as `Yes`; none gives them by class only."""

    _classes: ClassNames = PrivateAttr()

    default_metrics: ClassVar[tuple[str, ...]] = (
        "accuracy", "f1_macro", "f1_weighted", "balanced_accuracy", "precision", "recall", "f1",
        "log_loss", "roc_auc", "calibration_error", "unread",
    )  # fmt: skip
    marks: ClassVar[tuple[str, ...]] = ("correct",)
    head_metrics: ClassVar[tuple[str, ...]] = ("top_3", "top_5")
    multi_metrics: ClassVar[tuple[str, ...]] = ("labels_f1", "labels_f1_macro", "accuracy", "unread")

    @field_validator("labels")
    @classmethod
    def _can_be_told_apart(cls, labels: list[str] | dict[str, str]) -> list[str] | dict[str, str]:
        names = labels if isinstance(labels, list) else list(dict.fromkeys(labels.values()))
        seen: dict[str, str] = {}
        for name in names:
            if not plain(name):
                raise ValueError(f"label {name!r} has nothing to read; it needs at least one letter or digit")
            if plain(name) in seen:
                raise ValueError(
                    f"labels {seen[plain(name)]!r} and {name!r} cannot be told apart in an answer (case, "
                    "quotes, white space and a full stop do not matter); rename one"
                )
            seen[plain(name)] = name
        if len(names) < 2:
            raise ValueError(f"all values are one label ({names[0]!r}); there must be at least two")
        return labels

    @field_validator("answer")
    @classmethod
    def _letters_are_explained(cls, answer: Any, info: ValidationInfo) -> Any:
        if isinstance(answer, LetterForm):
            labels, prompt = info.data.get("labels", []), info.data.get("prompt", "{options}")
            if "options" not in fields_of(prompt):
                raise ValueError(
                    "with letters the prompt must list the classes; put {options} into task.prompt"
                )
            if len(labels) > len(ascii_uppercase):
                raise ValueError(f"there are {len(labels)} labels but 26 letters; use 'text' or 'json'")
        return answer

    @field_validator("positive")
    @classmethod
    def _positive_is_a_label(cls, positive: str | None, info: ValidationInfo) -> str | None:
        labels = info.data.get("labels")
        names = list(labels.values()) if isinstance(labels, dict) else labels
        if positive is not None and names is not None and positive not in names:
            raise ValueError(
                f"{positive!r} is not one of the labels ({', '.join(names)}).{did_you_mean(positive, names)}"
            )
        return positive

    def model_post_init(self, context: Any, /) -> None:
        """Keep what stands for each class."""
        codes = self.labels if isinstance(self.labels, dict) else None
        self._classes = ClassNames(self.labels_in_order, "task.labels", codes)

    @property
    def labels_in_order(self) -> tuple[str, ...]:
        """Labels, each once, in the order of the file."""
        return (
            tuple(self.labels)
            if isinstance(self.labels, list)
            else tuple(dict.fromkeys(self.labels.values()))
        )

    @property
    def default_engine(self) -> str:
        """The head if there is one; else the labels are weighed."""
        return "score" if self.head is None else "head"

    @property
    def untrained_engine(self) -> str:
        """The labels are weighed as text."""
        return "score"

    @property
    def head(self) -> Head | None:
        """The head, if that is the form of the answer."""
        return self.answer if isinstance(self.answer, HeadForm) else None

    @property
    def own_metrics(self) -> tuple[str, ...]:
        """Of a head also how often the class is among the likeliest; of several classes a record, what tells sets
        apart."""
        if self.is_multi:
            return self.multi_metrics
        first, *others = self.default_metrics
        return self.default_metrics if self.head is None else (first, *self.head_metrics, *others)

    @property
    def given_marks(self) -> tuple[str, ...]:
        """With several classes a record, numbers of right, wrong and missed ones besides."""
        return (*self.marks, *MARKS_OF_SETS) if self.is_multi else self.marks

    @property
    def positive_index(self) -> int | None:
        """Index of the positive label, if one is named."""
        return None if self.positive is None else self.labels_in_order.index(self.positive)

    def fields_asked(self) -> tuple[str, ...]:
        """The fields of prompt and system prompt, and those of the pictures."""
        named = (name for name in fields_of(self.prompt) if name != "options")
        return tuple(dict.fromkeys((*named, *fields_of(self.system or ""), *self.pictures)))

    def fields_answered(self) -> tuple[str, ...]:
        """The field with the class."""
        return (self.field,)

    def fields_as_json(self, record: Record) -> tuple[str, ...]:
        """Fields of the prompt that hold no text."""
        return json_fields(record, (name for name in self.fields_asked() if name not in self.pictures))

    def picture_fields(self) -> tuple[str, ...]:
        """Fields with pictures."""
        return tuple(self.pictures)

    def ask(self, record: Record, shots: Sequence[Conversation] = ()) -> Conversation:
        """The filled prompt; DataError for a missing field."""
        options = {"options": self.answer.options(self.labels_in_order)}
        asked = question(self.prompt, record, self.pictures, options)
        return Conversation(record.id, turns(asked, self.system, record, shots, self.fields_asked()), "")

    def decide(self, sources: Iterable[Iterable[Record]]) -> str | None:
        """What numbers in the data stand for; DataError with the mapping that would say it, if that is not sure."""
        if isinstance(self.labels, dict):
            return None
        seen = []
        for source in sources:
            values = LabelValues(self._classes, self.field)
            for record in source:
                try:
                    value = value_at(record.fields, self.field)
                except ValueError:
                    continue
                if self.is_multi and isinstance(value, list):
                    values.add_list(record.id, value)
                elif value is not None:
                    values.add(record.id, value)
            seen.append(values)
        return common_reading(seen)

    def decided(self, decision: str | None) -> Self:
        """The task that reads numbers in the data as `decide` found."""
        made = self.model_copy()
        made._classes = self._classes.read_as(reading_of(decision))
        return made

    def conversation(self, record: Record, shots: Sequence[Conversation] = ()) -> Conversation:
        """The filled prompt and the written class; DataError for a missing field or an unknown class."""
        value, asked = all_of(
            lambda: value_of(record, self.field, "task.field"), lambda: self.ask(record, shots)
        )
        labels = self.labels_in_order
        try:
            if isinstance(self.answer, HeadForm) and self.answer.multi:
                if not isinstance(value, list):
                    raise ValueError(
                        f"{value!r}; with several labels a record (multi) it must hold a list of them"
                    )
                indices = self._classes.indices(value)
                return replace(asked, answer=self.answer.write_several(indices, labels), labels=indices)
            index = self._classes.index(value)
        except ValueError as fault:
            raise DataError(f"{record.id}: field {self.field!r} is {fault}") from fault
        return replace(asked, answer=self.answer.write(index, labels), label=index)

    def candidates(self, conversation: Conversation) -> tuple[str, ...]:
        """The answer for each class."""
        labels = self.labels_in_order
        return tuple(self.answer.write(index, labels) for index in range(len(labels)))

    def read(self, answer: Answer) -> str | list[str] | Unread:
        """The label that the answer names; it must be whole, and name one label in the form asked for. Where a
        record can have several, the list of those that are named."""
        if not answer.ended:
            return Unread("was cut before it ended")
        if isinstance(self.answer, HeadForm) and self.answer.multi:
            several = self.answer.read_several(answer.text, self.labels_in_order)
            return several if isinstance(several, Unread) else [self.labels_in_order[one] for one in several]
        index = self.answer.read(answer.text, self.labels_in_order)
        return index if isinstance(index, Unread) else self.labels_in_order[index]

    def mark(
        self, conversation: Conversation, answer: Answer, reading: str | list[str] | Unread
    ) -> Mapping[str, float | None]:
        """`correct`: 1 for the true class (or exactly the true ones), else 0."""
        if conversation.labels is not None:
            true = [self.labels_in_order[index] for index in conversation.labels]
            return marks_of_set(true, reading if isinstance(reading, list) else None)
        assert conversation.label is not None
        return {"correct": float(reading == self.labels_in_order[conversation.label])}
