from __future__ import annotations

from dataclasses import replace

import pytest

from tests.evaluate.made import rows
from tunesmith.errors import DataError
from tunesmith.evaluate.groups import MOST_VALUES, check_fields, groups_of
from tunesmith.evaluate.rows import Row
from tunesmith.records.record import Record


def with_fields(**columns: list[object]) -> list[Row]:
    number = len(next(iter(columns.values())))
    return [
        replace(row, fields={name: values[index] for name, values in columns.items()})
        for index, row in enumerate(rows(number, 0.5, 0))
    ]


def test_numbers_stand_in_their_order_and_before_words() -> None:
    groups = groups_of(with_fields(stage=[10, 9, "b", "A", "2", None, 9]), ["stage"])
    assert groups.rows["stage"] == {
        "2": (4,), "9": (1, 6), "10": (0,), "A": (3,), "b": (2,), "null": (5,),
    }  # fmt: skip


def test_the_most_frequent_values_are_kept_and_the_others_counted() -> None:
    values = [index % 70 for index in range(130)]
    groups = groups_of(with_fields(plate=values), ["plate"])
    assert len(groups.rows["plate"]) == MOST_VALUES
    assert groups.left_out == {"plate": 20}
    assert {len(indices) for indices in groups.rows["plate"].values()} == {2}


def test_a_distinction_of_the_task_is_made_only_where_rows_differ_by_it() -> None:
    mixed = with_fields(kind=["open", "open", "yes/no"], other=["x", "x", "x"])
    assert list(groups_of(mixed, []).rows) == ["kind"]
    assert list(groups_of(mixed, ["other"]).rows) == ["kind", "other"]


def test_records_without_a_field_are_told_once_for_each_field_with_what_was_meant() -> None:
    records = [
        Record("qa.jsonl:1", {"stage": 1}),
        Record("qa.jsonl:2", {"stge": 1}),
        Record("qa.jsonl:3", {"stge": 2}),
    ]
    with pytest.raises(DataError) as caught:
        check_fields(records, ["stage", "sort"])
    assert str(caught.value).splitlines() == [
        "qa.jsonl:2: evaluate.by: there is no field 'stage' (stge). Did you mean 'stge'? "
        "Of 3 records 1 other lacks it too.",
        "qa.jsonl:1: evaluate.by: there is no field 'sort' (stage). Of 3 records 2 others lack it too.",
    ]
    check_fields(records[:1], ["stage"])
    check_fields([Record("qa.jsonl:4", {"meta": {"stage": 1}})], ["meta.stage"])
