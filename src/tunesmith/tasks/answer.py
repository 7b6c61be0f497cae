"""Task `answer`: open questions, judged by how near the answer's words come to an accepted one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Literal

from pydantic import Field

from tunesmith.config.settings import FieldNames
from tunesmith.errors import DataError
from tunesmith.records.conversation import Conversation
from tunesmith.records.record import Record
from tunesmith.tasks import Answer as ModelAnswer
from tunesmith.tasks import Task, Unread
from tunesmith.tasks._overlap import BLEU_MARKS, bleu_counts, exact_match, rouge_l, token_f1
from tunesmith.tasks._prompt import (
    Template,
    all_of,
    fields_of,
    holds_messages,
    json_fields,
    question,
    text_of,
    turns,
    value_of,
)
from tunesmith.tasks._words import WORDS, Normalise


class Answer(Task):
    """Open questions with one or more accepted answers."""

    kind: Literal["answer"] = "answer"
    prompt: Template
    """The question; `{name}` is the record's field of that name, `{{` a brace."""
    pictures: FieldNames = Field(default_factory=list)
    """Record fields with a picture, or a list of them: shown where the prompt names the field, else before it."""
    field: str = "answer"
    """Record field with the answer, or with a list of accepted texts, of which the first is trained. An object, or a
    list of objects, is one answer, written as JSON."""
    normalise: Normalise = "squad"
    """What does not matter to exact match and token F1: as SQuAD's grader says (case, punctuation, articles), or as
    that of VQA does (also number words against digits, and contractions without their apostrophes). Marks that change
    what is said (`-5`, `1.5`, `C#`) stay, and Chinese, Japanese, Thai and the like are compared by characters."""

    default_metrics: ClassVar[tuple[str, ...]] = ("token_f1", "exact_match", "rouge_l", "unread", "bleu")
    marks: ClassVar[tuple[str, ...]] = ("correct", "token_f1", "rouge_l", *BLEU_MARKS)

    def fields_asked(self) -> tuple[str, ...]:
        """The fields of prompt and system prompt, and those of the pictures."""
        return tuple(dict.fromkeys((*fields_of(self.prompt), *fields_of(self.system or ""), *self.pictures)))

    def fields_answered(self) -> tuple[str, ...]:
        """The field with the answer."""
        return (self.field,)

    def fields_as_json(self, record: Record) -> tuple[str, ...]:
        """Fields of the prompt, and the answer if it is not a list of accepted texts."""
        value = value_of(record, self.field, "task.field")
        accepted = isinstance(value, list) and not _is_one(value)
        written = [name for name in self.fields_asked() if name not in self.pictures]
        return json_fields(record, written if accepted else [*written, self.field])

    def picture_fields(self) -> tuple[str, ...]:
        """Fields with pictures."""
        return tuple(self.pictures)

    def ask(self, record: Record, shots: Sequence[Conversation] = ()) -> Conversation:
        """The filled prompt; DataError for a missing field."""
        asked = question(self.prompt, record, self.pictures)
        return Conversation(record.id, turns(asked, self.system, record, shots, self.fields_asked()), "")

    def conversation(self, record: Record, shots: Sequence[Conversation] = ()) -> Conversation:
        """The filled prompt and the accepted answers; DataError for a missing field or no answer."""
        answers, asked = all_of(lambda: self._answers(record), lambda: self.ask(record, shots))
        return replace(asked, answer=answers[0], accepted=tuple(answers[1:]))

    def _answers(self, record: Record) -> list[str]:
        """The accepted answers as texts, at least one."""
        value = value_of(record, self.field, "task.field")
        several = [value] if _is_one(value) else [one for one in value if one is not None]
        fault = None
        if holds_messages(value):
            fault = "is made of messages. Use task kind chat, which reads messages, prompt and completion"
        elif len(several) > 1 and not all(isinstance(one, str) for one in several):
            fault = (
                f"is {value!r:.60}, a list of values that are no texts. Write accepted answers as texts, or one answer "
                "of several values as an object"
            )
        answers = [text_of(one) for one in several]
        if fault is None and (not answers or not all(one.strip() for one in answers)):
            fault = f"is {value!r:.60}; it must be the answer, or a list of accepted ones, none of them empty"
        if fault is not None:
            raise DataError(f"{record.id}: field {self.field!r} {fault}")
        return answers

    def read(self, answer: ModelAnswer) -> str | Unread:
        """The text without white space around it, if there is any."""
        return answer.text.strip() or Unread("is empty")

    def mark(
        self, conversation: Conversation, answer: ModelAnswer, reading: str | Unread
    ) -> Mapping[str, float | None]:
        """`correct` (exact match; 0 if the answer was cut), `token_f1` and `rouge_l`, each the best over the accepted
        answers, and what BLEU counts; no answer has no words."""
        accepted = (conversation.answer, *conversation.accepted)
        if isinstance(reading, Unread):
            return dict.fromkeys(self.marks, 0.0) | bleu_counts("", accepted)
        return {
            "correct": max(exact_match(reading, one, self.normalise) for one in accepted) * answer.ended,
            "token_f1": max(token_f1(reading, one, self.normalise) for one in accepted),
            "rouge_l": max(rouge_l(reading, one) for one in accepted),
            **bleu_counts(reading, accepted),
        }

    def kinds(self, conversation: Conversation) -> Mapping[str, str]:
        """`answer type`: `yes/no` if the reference is either word, else `open`."""
        is_closed = WORDS[self.normalise](conversation.answer) in (["yes"], ["no"])
        return {"answer type": "yes/no" if is_closed else "open"}


def _is_one(value: Any) -> bool:
    """True for what is one answer: anything but a list of accepted ones."""
    return not isinstance(value, list) or any(isinstance(one, Mapping | list) for one in value)
