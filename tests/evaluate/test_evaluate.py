from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from tests.evaluate.loaded import tiny
from tunesmith.config.experiment import Evaluate
from tunesmith.errors import DataError
from tunesmith.evaluate.engines.score import Score
from tunesmith.evaluate.evaluate import evaluate, row_of
from tunesmith.evaluate.rows import Row, read_rows
from tunesmith.evaluate.scores import Scores, read_scores
from tunesmith.images.boxes import Box, Boxes
from tunesmith.images.picture import Picture
from tunesmith.model.loaded import LoadedModel
from tunesmith.records.conversation import Conversation
from tunesmith.records.record import Record
from tunesmith.tasks import Answer, Task
from tunesmith.tasks.chat import Chat
from tunesmith.tasks.classify import Classify

TASK = Classify(labels=["fruit", "tool", "animal"], prompt="What is {word}?").decided("indices")
WORDS = ["apple", "saw", "a very large dog", "pear", "cat", "hammer and nails"]
RECORDS = [
    Record(f"words.csv:{number + 2}", {"word": word, "label": number % 3})
    for number, word in enumerate(WORDS)
]
SETTINGS = Evaluate(num_resamples=100)


def evaluated(folder: Path | None, engine: Score | None = None, task: Task = TASK) -> Scores:
    return evaluate(tiny(), task, engine or Score(), RECORDS, SETTINGS, folder)


def test_rows_stand_in_the_order_of_the_records_with_what_was_asked_and_answered(tmp_path: Path) -> None:
    scores = evaluated(tmp_path)
    rows = read_rows(tmp_path / "rows.jsonl")
    assert [(row.record, row.sha256, row.label) for row in rows] == [
        (record.id, record.sha256, record.fields["label"]) for record in RECORDS
    ]
    assert rows[0].asked == "What is apple?"
    assert rows[0].reference == "fruit"
    for row in rows:
        assert row.scores is not None
        assert sum(row.scores) == pytest.approx(1)
        assert row.predicted == row.scores.index(max(row.scores))
        assert row.answer == row.reading == TASK.labels_in_order[row.predicted]
        assert row.marks == {"correct": float(row.predicted == row.label)}
    assert repr(read_scores(tmp_path)) == repr(scores)
    assert scores.metrics["accuracy"].value == pytest.approx(
        sum(row.predicted == row.label for row in rows) / len(rows)
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["SHA256SUMS", "rows.jsonl", "scores.json"]


def test_without_a_folder_the_scores_are_the_same(tmp_path: Path) -> None:
    assert evaluated(None).metrics == evaluated(tmp_path).metrics


class Dying(Score):
    """A scoring engine that is killed after some answers, and counts what it is asked."""

    after: int = 100
    asked: list[str]

    def answers(
        self, model: LoadedModel, task: Task, conversations: Sequence[Conversation]
    ) -> Iterator[tuple[int, Answer]]:
        for number, (index, answer) in enumerate(
            Score(tokens_per_batch=16).answers(model, task, conversations)
        ):
            if number == self.after:
                raise KeyboardInterrupt
            self.asked.append(conversations[index].record)
            yield index, answer

    def model_dump(self, **settings: object) -> dict[str, object]:
        return Score().model_dump(**settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("torn", ["", '{"index": 5, "seconds": 1.0, "row": {"rec'])
def test_an_interrupted_evaluation_goes_on_after_the_answers_it_has(tmp_path: Path, torn: str) -> None:
    dying, going_on = Dying(after=4, asked=[]), Dying(asked=[])
    with pytest.raises(KeyboardInterrupt):
        evaluated(tmp_path, dying)
    assert [path.name for path in tmp_path.iterdir()] == ["rows.partial.jsonl"]
    with (tmp_path / "rows.partial.jsonl").open("a") as file:
        file.write(torn)
    again = evaluated(tmp_path, going_on)
    assert len(dying.asked) == 4
    assert sorted(dying.asked + going_on.asked) == sorted(record.id for record in RECORDS)
    assert again.metrics == evaluated(None).metrics
    assert not (tmp_path / "rows.partial.jsonl").exists()


def test_answers_to_another_question_are_not_taken_up(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        evaluated(tmp_path, Dying(after=4, asked=[]))
    going_on = Dying(asked=[])
    evaluated(tmp_path, going_on, TASK.model_copy(update={"prompt": "Say what {word} is."}))
    assert len(going_on.asked) == len(RECORDS)


def test_shots_stand_before_every_question_but_their_own(tmp_path: Path) -> None:
    shots = [TASK.conversation(RECORDS[0])]
    evaluate(tiny(), TASK, Score(), RECORDS[:2], SETTINGS, tmp_path, shots=shots)
    with_shots = read_rows(tmp_path / "rows.jsonl")
    evaluate(tiny(), TASK, Score(), RECORDS[:2], SETTINGS, tmp_path)
    without = read_rows(tmp_path / "rows.jsonl")
    assert with_shots[0].scores == pytest.approx(without[0].scores)
    assert with_shots[1].scores != pytest.approx(without[1].scores)


def test_the_loss_of_chats_is_nats_per_token(tmp_path: Path) -> None:
    records = [
        Record(
            f"c:{number}",
            {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": text}]},
        )
        for number, text in enumerate(["yes", "a longer answer than the other"])
    ]
    scores = evaluate(tiny(), Chat(), Score(), records, SETTINGS, tmp_path)
    marks = [row.marks for row in read_rows(tmp_path / "rows.jsonl")]
    nats, tokens = (sum(mark[name] or 0 for mark in marks) for name in ("nats", "tokens"))
    assert scores.metrics["loss"].value == pytest.approx(nats / tokens)
    assert scores.primary == "loss"
    assert scores.confusion is None
    assert json.loads((tmp_path / "scores.json").read_text())["labels"] is None


def test_all_records_that_cannot_be_asked_are_named() -> None:
    bad = [Record(f"words.csv:{number}", {"wort": "x", "label": 0}) for number in range(25)]
    with pytest.raises(DataError) as caught:
        evaluate(tiny(), TASK, Score(), [*RECORDS, *bad], SETTINGS)
    lines = str(caught.value).splitlines()
    assert lines[0] == "words.csv:0: prompt: there is no field 'word' (wort, label). Did you mean 'wort'?"
    assert lines[20:] == ["and 5 more"]


def test_no_records_are_an_error() -> None:
    with pytest.raises(
        DataError, match=r"base: there are no records to evaluate on; hold some out \(data.split\)"
    ):
        evaluate(tiny(), TASK, Score(), [], SETTINGS)


def test_rows_keep_the_fields_that_results_are_broken_down_by(tmp_path: Path) -> None:
    records = [
        Record(record.id, {**record.fields, "stage": index % 2}) for index, record in enumerate(RECORDS)
    ]
    settings = SETTINGS.model_copy(update={"by": ["stage"]})
    scores = evaluate(tiny(), TASK, Score(), records, settings, tmp_path)
    assert [row.fields for row in read_rows(tmp_path / "rows.jsonl")] == [{"stage": 0}, {"stage": 1}] * 3
    assert {stage: group.records for stage, group in scores.by["stage"].items()} == {"0": 3, "1": 3}


def test_a_missing_field_is_told_before_anything_is_asked() -> None:
    counting = Dying(asked=[])
    with pytest.raises(
        DataError, match=r"^words\.csv:2: evaluate\.by: there is no field 'lable' \(word, label\)"
    ):
        evaluate(tiny(), TASK, counting, RECORDS, SETTINGS.model_copy(update={"by": ["lable"]}))
    assert counting.asked == []


def picture(name: str) -> Picture:
    return Picture(f"{name}.jpg", "00", 40, 30, "0" * 16, root=Path("/pictures"))


def test_a_row_names_the_pictures_of_its_question_and_not_those_of_solved_examples() -> None:
    task = Classify(labels=["fruit", "tool"], prompt="What is it?", pictures=["shown"])
    first, second = (Record(f"a:{name}", {"shown": picture(name), "label": "fruit"}) for name in "xy")
    shots = [task.conversation(first)]
    row = row_of(task, Record("a:y", {}), task.conversation(second, shots), Answer("fruit"))
    assert row.pictures == ("/pictures/y.jpg",)


def test_a_row_of_a_question_where_things_are_keeps_the_true_boxes() -> None:
    conversation = replace(
        TASK.conversation(RECORDS[0]), boxes=Boxes(picture("x"), (Box("table", (0.1, 0.2, 0.5, 0.75)),))
    )
    row = row_of(TASK, RECORDS[0], conversation, Answer("fruit"))
    assert row.boxes == ({"label": "table", "corners": [0.1, 0.2, 0.5, 0.75]},)
    assert row.pictures == ("/pictures/x.jpg",)
    assert Row.from_json(row.to_json()) == row
