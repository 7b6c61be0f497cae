"""What a run left, ready to answer: a record's journey without a reference, from its question to what was read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tunesmith.config.experiment import Experiment
from tunesmith.config.experiment import Pictures as PictureSettings
from tunesmith.errors import DataError
from tunesmith.evaluate.engines import Engine
from tunesmith.model.loaded import LoadedModel
from tunesmith.records.conversation import Conversation
from tunesmith.records.image_ingestion import ImageIngestor
from tunesmith.records.marks import refuse_marks
from tunesmith.records.record import Record
from tunesmith.records.sources import BadRow
from tunesmith.records.unread import without_ignored
from tunesmith.tasks import Answer, Task, Unread

_MOST_NAMED = 20


@dataclass(frozen=True)
class Prediction:
    """What the model says of one record."""

    id: str
    """Of the record: `file:line`, or the path of a picture."""
    reading: Any
    """The value that the answer states (JSON-like: a label, a text, boxes in pixels of the original picture), or
    None if it cannot be read."""
    unread: str | None
    """Why it cannot be read, or None."""
    answer: str
    """The model's own words."""
    ended: bool
    """False if the answer was cut at its longest allowed length."""
    probabilities: Mapping[str, float] | None
    """Probability of each class, if the engine gives them."""


@dataclass(frozen=True, eq=False)
class Result:
    """What `load_result` gives."""

    folder: Path
    """Of the stage that left it."""
    experiment: Experiment
    loaded: LoadedModel
    engine: Engine
    shots: tuple[Conversation, ...] = ()
    longest_answer: int = 0
    """Tokens of the longest answer that was trained; 0 if it is not known."""

    @property
    def task(self) -> Task:
        """What is asked, and how answers are read."""
        task: Task = self.experiment.task
        return task

    def predict(self, rows: Iterable[Mapping[str, Any]], beside: Path = Path()) -> list[Prediction]:
        """A prediction for each row, in order. A row has values by the names of the fields that the task asks about,
        a picture as the path of its file (relative to `beside`) or its bytes. DataError names all rows that cannot
        be asked."""
        records = [Record(f"row {number}", dict(row)) for number, row in enumerate(rows, 1)]
        settings = self.experiment.data.pictures.model_copy(update={"outside": True})
        found = list(self.answered(records, lambda _: beside, settings))
        faults = [f"{one.where}: {one.why}" for one in found if isinstance(one, BadRow)]
        if faults:
            more = f"\nand {len(faults) - _MOST_NAMED} more" if len(faults) > _MOST_NAMED else ""
            raise DataError("\n".join(faults[:_MOST_NAMED]) + more)
        return [one for one in found if isinstance(one, Prediction)]

    def answered(
        self,
        rows: Iterable[Record | BadRow],
        beside: Callable[[str], Path],
        pictures: PictureSettings,
        advance: Callable[[], None] = lambda: None,
    ) -> Iterator[Prediction | BadRow]:
        """Each row's prediction, or why there is none, in their order. `beside` gives the folder that the pictures
        of a row are named from, by its id; `advance` is called after each row."""
        with TemporaryDirectory(prefix="tunesmith-") as copies:
            asked = [self._question(row) for row in self._seen(rows, beside, pictures, Path(copies))]
            found: dict[int, Prediction | BadRow] = {}
            told = 0
            for index, one in self._outcomes(asked):
                found[index] = one
                advance()
                while told in found:
                    yield found.pop(told)
                    told += 1

    def _seen(
        self,
        rows: Iterable[Record | BadRow],
        beside: Callable[[str], Path],
        pictures: PictureSettings,
        copies: Path,
    ) -> Iterable[Record | BadRow]:
        """The rows with their pictures taken, checked as when data are prepared."""
        fields = self.task.picture_fields()
        rows = map(self._laid_out, rows)
        return ImageIngestor(pictures, fields, copies).resolve(rows, beside) if fields else rows

    def _laid_out(self, row: Record | BadRow) -> Record | BadRow:
        """The row in the layout that the task reads."""
        if isinstance(row, BadRow):
            return row
        try:
            return self.task.laid_out(without_ignored(row, self.experiment.data.ignore))
        except DataError as fault:
            return _bad(row.id, fault)

    def _question(self, row: Record | BadRow) -> Conversation | BadRow:
        if isinstance(row, BadRow):
            return row
        try:
            question = self.task.ask(row, self.shots)
            refuse_marks(question, self.experiment.data.ignore)
            return question
        except DataError as fault:
            return _bad(row.id, fault)

    def _outcomes(self, asked: Sequence[Conversation | BadRow]) -> Iterator[tuple[int, Prediction | BadRow]]:
        """Index and outcome of each, as they come; bad ones first."""
        places, questions = [], []
        for index, one in enumerate(asked):
            if isinstance(one, BadRow):
                yield index, one
            else:
                places.append(index)
                questions.append(one)
        for place, answer in answers_of(self.engine, self.loaded, self.task, questions, self.longest_answer):
            if isinstance(answer, BadRow):
                yield places[place], answer
            else:
                yield places[place], self._prediction(questions[place], answer)

    def _prediction(self, question: Conversation, answer: Answer) -> Prediction:
        reading = self.task.read(answer)
        is_unread = isinstance(reading, Unread)
        labels, given = self.task.labels_in_order, answer.probabilities
        return Prediction(
            id=question.record,
            reading=None if is_unread else self.task.reported(question, reading),
            unread=reading.why if is_unread else None,
            answer=answer.text,
            ended=answer.ended,
            probabilities=dict(zip(labels, given, strict=True)) if labels and given else None,
        )


def answers_of(
    engine: Engine,
    loaded: LoadedModel,
    task: Task,
    questions: Sequence[Conversation],
    longest_answer: int = 0,
) -> Iterator[tuple[int, Answer | BadRow]]:
    """Index of each question and its answer, or why it has none, as they come. An engine refuses all questions for
    one that is too long or holds control tokens; so what it refuses is halved until that one is alone."""
    left = dict(enumerate(questions))
    try:
        if questions:
            fitted = engine.fitted(loaded, task, questions, longest_answer)
            for index, answer in fitted.answers(loaded, task, questions):
                del left[index]
                yield index, answer
    except DataError as fault:
        places = list(left)
        if len(places) == 1:
            yield places[0], _bad(questions[places[0]].record, fault)
            return
        middle = len(places) // 2
        for half in (places[:middle], places[middle:]):
            asked = [questions[place] for place in half]
            for index, found in answers_of(engine, loaded, task, asked, longest_answer):
                yield half[index], found


def _bad(record: str, fault: DataError) -> BadRow:
    """What is wrong with a record, in one line without its name."""
    text = str(fault).removeprefix(f"{record}: ").replace(f"\n{record}: ", "; ")
    return BadRow(record, " ".join(text.splitlines()))
