from __future__ import annotations

from collections.abc import Sequence

import pytest

from tunesmith.errors import DataError
from tunesmith.evaluate.evaluate import conversations_of
from tunesmith.evaluate.units import Units, units_of
from tunesmith.images.picture import Picture
from tunesmith.records.record import Record
from tunesmith.tasks import Task
from tunesmith.tasks.answer import Answer
from tunesmith.tasks.chat import Chat

QUESTIONS = Answer(prompt="{context}\n{question}")
PASSAGES = [
    f"Passage {number}: " + "the river rises in the hills and ends in the sea. " * 3 for number in range(8)
]


def units(records: Sequence[Record], task: Task = QUESTIONS, field: str | None = None) -> Units:
    return units_of(records, conversations_of(task, records), task.fields_asked(), field)


def asked(contexts: Sequence[str]) -> list[Record]:
    return [
        Record(f"qa.jsonl:{number}", {"context": context, "question": f"What is {number}?", "answer": "x"})
        for number, context in enumerate(contexts)
    ]


def picture(name: str) -> Picture:
    return Picture(f"{name}.png", name * 64, 10, 10, "0" * 16)


def sizes(found: Units) -> list[int]:
    return sorted(found.names.count(name) for name in set(found.names))


def test_records_without_anything_in_common_are_units_of_their_own() -> None:
    records = asked([f"short {number}" for number in range(20)])
    assert units(records) == Units("record", tuple(record.id for record in records))


def test_questions_about_one_passage_are_one_unit() -> None:
    found = units(asked(PASSAGES * 3))
    assert found.kind == "context"
    assert sizes(found) == [3] * 8
    assert found.names[:8] == found.names[8:16]


def test_an_instruction_that_many_records_share_does_not_make_them_one_unit() -> None:
    assert units(asked(PASSAGES[:1] * 40)).kind == "record"
    assert units(asked(PASSAGES[:5] * 40)).kind == "record"
    assert units(asked(PASSAGES[:7] * 60)).kind == "record"


def test_the_same_category_does_not_make_records_one_unit() -> None:
    assert units(asked(["Sports", "World"] * 20)).kind == "record"


def test_the_same_question_asked_again_is_the_same_unit() -> None:
    records = [
        Record(f"qa.jsonl:{number}", {"context": "", "question": f"Who is {number % 15}?", "answer": "x"})
        for number in range(20)
    ]
    found = units(records)
    assert (found.kind, sizes(found)) == ("question", [1] * 10 + [2] * 5)


def test_records_that_share_a_picture_directly_or_through_another_are_one_unit() -> None:
    task = Answer(prompt="{question}", pictures=["views"])
    shown = [["a"], ["a", "b"], ["b"], ["c"], ["d", "e"]]
    records = [
        Record(f"vqa:{number}", {"question": "What?", "views": [picture(one) for one in some], "answer": "x"})
        for number, some in enumerate(shown)
    ]
    found = units(records, task)
    assert found == Units("picture", ("vqa:0", "vqa:0", "vqa:0", "vqa:3", "vqa:4"))
    assert units(records[2:], task).kind == "record"


def test_chats_about_one_document_are_one_unit() -> None:
    records = [
        Record(
            f"chat:{number}",
            {
                "messages": [
                    {"role": "system", "content": PASSAGES[number % 8]},
                    {"role": "user", "content": f"Ask {number}"},
                    {"role": "assistant", "content": "Yes"},
                ]
            },
        )
        for number in range(16)
    ]
    found = units(records, Chat())
    assert (found.kind, sizes(found)) == ("first turn", [2] * 8)


def test_a_field_that_is_named_goes_before_all_else() -> None:
    records = [
        Record(one.id, {**one.fields, "meta": {"patient": number % 2}})
        for number, one in enumerate(asked(PASSAGES * 3))
    ]
    found = units(records, field="meta.patient")
    assert (found.kind, found.names[:3]) == ("meta.patient", ("0", "1", "0"))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, r"qa.jsonl:1: evaluate.unit: there is no field 'patient'"),
        (
            {"patient": None},
            r"qa.jsonl:1: evaluate.unit: field 'patient' is null, as in 1 record of 2; every",
        ),
    ],
)
def test_a_record_without_the_field_of_its_unit_is_named(fields: dict[str, None], message: str) -> None:
    first, second = asked(["a", "b"])
    records = [
        Record(first.id, {**first.fields, "patient": 1}),
        Record(second.id, {**second.fields, **fields}),
    ]
    with pytest.raises(DataError, match=message):
        units(records, field="patient")


def test_a_picture_tells_units_by_its_file() -> None:
    pictures = [Picture(f"{name}.png", name, 10, 10, "0" * 16) for name in ("aa", "bb", "aa")]
    records = [Record(f"a:{number}", {"image": picture}) for number, picture in enumerate(pictures)]
    found = units_of(records, [], (), "image")
    assert found.names[0] == found.names[2] != found.names[1]
