import json
from pathlib import Path

import pytest

from tunesmith.config.experiment import Data
from tunesmith.errors import DataError, ExperimentError
from tunesmith.records.chat_formats import with_messages
from tunesmith.records.record import Record
from tunesmith.records.sources import Source
from tunesmith.records.store import RecordStore, write_store
from tunesmith.runs.manifest import DedupFields
from tunesmith.split.dedup_keys import KeyBuilder
from tunesmith.split.reading import BadRows, Reader, Use, sources_of
from tunesmith.split.sides import Side

WHOLE = DedupFields((), required=False)


def read(tmp_path: Path, *lines: str, check=None, chat=False, told=WHOLE):
    (tmp_path / "d.jsonl").write_text("\n".join(lines))
    data = Data.model_validate({"source": {"kind": "jsonl", "path": "d.jsonl"}})
    use = Use(check or (lambda record: None), with_messages if chat else lambda record: record)
    with write_store(tmp_path / "r.arrow") as writer:
        reader = Reader(writer, KeyBuilder(told), None, use)
        reader.read(data, tmp_path, lambda what, done: None)
    return reader, list(RecordStore(tmp_path / "r.arrow"))


def test_a_record_that_the_task_cannot_use_is_a_bad_row_named_once(tmp_path):
    def check(record):
        if "label" not in record.fields:
            raise DataError(f"{record.id}: no field 'label'.\n{record.id}: nothing else.")

    reader, records = read(tmp_path, '{"label": 1}', '{"lable": 1}', "{", check=check)
    assert [record.id for record in records] == ["d.jsonl:1"]
    assert reader.bad.first[0] == ("d.jsonl:2", "no field 'label'.; nothing else.")
    assert (reader.bad.count, reader.bad.first[1][0]) == (2, "d.jsonl:3")


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ('{"a": "\\ud83d"}', "holds half of a surrogate pair (\\ud83d), which is no character."),
        ('{"a": 1e999}', "holds an infinite number."),
        ('{"a": -Infinity}', "holds an infinite number."),
        ('{"b": "x"}', "data.split.by: there is no field 'a' (b)."),
    ],
)
def test_what_cannot_be_trained_on_is_a_bad_row(tmp_path, line, why):
    reader, records = read(tmp_path, '{"a": "x"}', line, told=DedupFields(("a",), True))
    assert reader.bad.first == [("d.jsonl:2", why)]
    assert len(records) == len(reader.keys) == 1


def test_chats_of_any_layout_get_messages_only_if_the_task_asks_for_them(tmp_path):
    chat = json.dumps({"conversations": [{"from": "human", "value": "Hi"}]})
    assert read(tmp_path, chat, chat=True)[1][0].fields["messages"] == [{"role": "user", "content": "Hi"}]
    assert "messages" not in read(tmp_path, chat)[1][0].fields
    wrong = json.dumps({"conversations": [{"from": "robot", "value": "x"}]})
    assert (
        read(tmp_path, wrong, chat=True)[0]
        .bad.first[0][1]
        .startswith("conversations: turn 1 is from 'robot'")
    )


def test_the_first_twenty_bad_rows_are_listed_with_the_number_of_the_others():
    bad = BadRows()
    bad.refuse()
    for number in range(23):
        bad.add(f"f:{number}", f"is bad {chr(97 + number) * 3}.")
    with pytest.raises(DataError) as error:
        bad.refuse()
    lines = str(error.value).splitlines()
    assert lines[:2] == ["data: 23 rows cannot be used:", "  f:0: is bad aaa."]
    assert lines[-2:] == [
        "  ... and 3 more",
        "Put them right, or set data.on_bad_rows to skip: then they are left out, counted and reported.",
    ]
    assert len(lines) == 23


def test_a_single_bad_row_is_spoken_of_as_one():
    bad = BadRows()
    bad.add("f:1", "is bad.")
    with pytest.raises(DataError, match=r"1 row cannot be used(.|\n)*Put it right, .* then it is left out"):
        bad.refuse()


def test_a_side_with_a_source_of_its_own_is_read_from_it():
    source = {"kind": "jsonl", "path": "d.jsonl"}
    data = Data.model_validate(
        {"source": source, "split": {"holdout": {"kind": "csv", "path": "t.csv"}, "validation": 5}}
    )
    assert [(side, given.kind) for side, given in sources_of(data)] == [
        (Side.TRAIN, "jsonl"),
        (Side.TEST, "csv"),
    ]


def test_bytes_that_no_task_asks_for_are_left_out_whatever_the_source(tmp_path):
    class Raw(Source):
        kind: str = "raw"

        def rows(self, base):
            yield Record("d:1", {"a": b"x", "b": {"bytes": b"", "path": "p"}, "c": [b"x"], "d": [1], "e": {}})

        def fingerprint(self, base):
            return ""

    data = Data.model_validate({"source": {"kind": "jsonl", "path": "d.jsonl"}})
    data = data.model_copy(update={"source": Raw()})
    with write_store(tmp_path / "r.arrow") as writer:
        Reader(writer, KeyBuilder(WHOLE), None, None).read(data, tmp_path, lambda what, done: None)
    (record,) = RecordStore(tmp_path / "r.arrow")
    assert record.fields == {"d": [1], "e": {}}


@pytest.mark.parametrize(
    ("condition", "mark", "kept", "left_out"),
    [
        ("label == true", "label", ["true", '"True"'], ["false", '"FALSE"', '"no"']),
        ("loss_weight == 1", "loss_weight", ["1", "1.0", "true", '"1"'], ["0", "0.5", "false"]),
    ],
)
def test_records_for_which_the_condition_does_not_hold_are_left_out_and_counted(
    tmp_path, condition, mark, kept, left_out
):
    lines = [f'{{"text": "{at}", "{mark}": {value}}}' for at, value in enumerate([*kept, *left_out])]
    (tmp_path / "d.jsonl").write_text("\n".join([*lines, '{"text": "x"}']))
    data = Data.model_validate({"source": {"kind": "jsonl", "path": "d.jsonl"}, "where": condition})
    with write_store(tmp_path / "r.arrow") as writer:
        reader = Reader(writer, KeyBuilder(WHOLE), None, None, where=condition)
        reader.read(data, tmp_path, lambda what, done: None)
    assert len(RecordStore(tmp_path / "r.arrow")) == len(kept)
    (note,) = reader.notes()
    assert note == f"{len(left_out)} records left out, for which data.where ({condition}) does not hold."
    assert reader.bad.first == [(f"d.jsonl:{len(lines) + 1}", reader.bad.first[0][1])]
    assert f"there is no field '{mark}'" in reader.bad.first[0][1]


def test_the_home_folder_of_nobody_is_one_sentence(tmp_path):
    for given in (
        {"path": "~nobody-here/d.jsonl"},
        {"kind": "images", "path": "~nobody-here"},
        {"kind": "hub", "path": "~nobody-here"},
    ):
        data = Data.model_validate({"source": {"kind": "jsonl", **given}})
        with (
            write_store(tmp_path / "r.arrow") as writer,
            pytest.raises(ExperimentError, match="no home folder"),
        ):
            Reader(writer, KeyBuilder(WHOLE), None, None).read(data, tmp_path, lambda what, done: None)
