import json
import os
import random
import shutil
import signal
import subprocess
import sys
from collections import Counter
from dataclasses import replace

import pyarrow.parquet as pq
import pytest

from tunesmith.config.experiment import Data
from tunesmith.errors import DataError
from tunesmith.files import SUMS
from tunesmith.records.store import RecordStore, write_store
from tunesmith.records.unread import RowNotes
from tunesmith.runs.manifest import MANIFEST
from tunesmith.split.prepare import Prepared, prepare, prepared_key
from tunesmith.split.reading import Use

SIDES = ("train", "validation", "test")


def article(number, length=40):
    chance = random.Random(number)
    return " ".join(f"w{chance.randrange(3000)}" for _ in range(length))


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def settings(**given):
    return Data.model_validate({"source": {"kind": "jsonl", "path": "d.jsonl"}, **given})


@pytest.fixture
def made(tmp_path):
    """A call that prepares rows of `d.jsonl`, with settings of `data`."""

    def make(rows=None, asked=("text",), check=None, **given):
        if rows is not None:
            write(tmp_path / "d.jsonl", rows)
        return prepare(settings(**given), asked, tmp_path, tmp_path / "runs" / "data", check and Use(check))

    return make


def rows(count=200):
    return [
        {"text": article(number, 60), "label": number % 4, "who": f"p{number // 5}"}
        for number in range(count)
    ]


def fields(prepared, side, name="text"):
    return [record.fields[name] for record in prepared.records(side)]


def test_every_record_is_on_exactly_one_side_in_its_order_with_its_id(made):
    prepared = made(rows())
    assert sum(prepared.counts.values()) == 200
    assert 16 <= prepared.counts["test"] <= 24
    assert 8 <= prepared.counts["validation"] <= 12
    ids = [record.id for side in SIDES for record in prepared.records(side)]
    assert sorted(ids) == sorted(f"d.jsonl:{number}" for number in range(1, 201))
    numbers = [int(record.id.split(":")[1]) for record in prepared.records("train")]
    assert numbers == sorted(numbers)
    prepared.verify()


def test_the_split_is_the_same_for_any_order_of_rows(made, tmp_path):
    first = {side: set(fields(made(rows()), side)) for side in SIDES}
    shuffled = rows()
    random.Random(1).shuffle(shuffled)
    again = made(shuffled)
    assert {side: set(fields(again, side)) for side in SIDES} == first


def test_strata_and_groups_hold_together(made):
    prepared = made(rows(), split={"holdout": 40, "validation": 20, "stratify": "label"})
    assert prepared.certificate.strata["test"] == {"0": 10, "1": 10, "2": 10, "3": 10}
    assert Counter(fields(prepared, "validation", "label")) == dict.fromkeys(range(4), 5)
    prepared = made(rows(), split={"holdout": 40, "validation": 20, "group": "who"})
    people = [set(fields(prepared, side, "who")) for side in SIDES]
    assert prepared.counts["test"] == 40
    assert not (people[0] & people[1] | people[0] & people[2] | people[1] & people[2])


def test_a_group_and_strata_may_stand_further_inside(made):
    inside = [{"text": row["text"], "meta": {key: row[key] for key in ("who", "label")}} for row in rows()]
    split = {"holdout": 40, "validation": 20, "group": "meta.who"}
    prepared = made(inside, split=split)
    people = [{meta["who"] for meta in fields(prepared, side, "meta")} for side in SIDES]
    assert not (people[0] & people[1] | people[0] & people[2] | people[1] & people[2])
    prepared.verify()
    strata = made(inside, split={"holdout": 40, "stratify": "meta.label"}).certificate.strata
    assert strata["test"] == {"0": 10, "1": 10, "2": 10, "3": 10}
    del inside[7]["meta"]["who"]
    with pytest.raises(
        DataError, match=r"d\.jsonl:8: data\.split\.group: 'meta\.who': 'who' is not in \(label\)"
    ):
        made(inside, split=split)


def test_duplicates_and_near_duplicates_stay_on_one_side_and_are_counted(made):
    base = rows(100)
    same = [{**row, "text": row["text"].upper() + "!"} for row in base[:30]]
    near = [{**row, "text": f"{row['text'].rpartition(' ')[0]} changed"} for row in base[30:60]]
    prepared = made([*base, *same, *near, *base[:5]], split={"holdout": 0.4, "validation": 0})
    side_of = {record.id: side for side in SIDES for record in prepared.records(side)}
    for number in range(60):
        assert side_of[f"d.jsonl:{number + 1}"] == side_of[f"d.jsonl:{number + 101}"]
    assert prepared.certificate.duplicates == {"content": 5, "text": 5, "near": 60}
    assert prepared.certificate.leaks.dropped == 0


def test_equal_text_counts_by_the_fields_asked_about_unless_by_names_others(made):
    twins = [{"text": article(1), "n": number} for number in range(50)]
    with pytest.raises(DataError, match=r"largest cluster of records that belong together has 50"):
        made(twins)
    assert made(twins, split={"by": ["n"], "holdout": 5}).counts["test"] == 5


def test_rows_of_one_template_are_not_taken_for_one_another(made):
    template = article(1, 100)
    prepared = made(
        [{"text": f"{template} {article(number, 3)}"} for number in range(50)], split={"holdout": 5}
    )
    assert prepared.certificate.duplicates == {"content": 0, "text": 0, "near": 0}
    assert prepared.counts["test"] == 5


def test_texts_that_look_alike_can_be_allowed(made):
    near = [{"text": f"{article(number // 6)} {article(number, 2)}"} for number in range(60)]
    split = {"holdout": 12, "validation": 0}
    assert made(near, split=split).certificate.duplicates["near"] == 50
    assert made(near, split=split, leaks={"near": None}).certificate.duplicates == {
        "content": 0,
        "text": 0,
    }


def given_sides(tmp_path):
    """Train rows, one in test, one nearly so, one in validation; and a validation row that is in test."""
    held = rows(60)
    write(tmp_path / "test.jsonl", held[:20])
    write(tmp_path / "val.jsonl", [*held[20:30], {**held[1], "label": 9}])
    near = held[2]["text"].replace(held[2]["text"].split()[5], "changed")
    train = [*held[30:], {**held[0], "text": held[0]["text"].title()}, {"text": near, "label": 0}, held[20]]
    split = {
        name: {"kind": "jsonl", "path": f"{path}.jsonl"}
        for name, path in (("holdout", "test"), ("validation", "val"))
    }
    return train, split


def test_leaks_into_given_sides_are_refused_with_their_pairs(made, tmp_path):
    train, split = given_sides(tmp_path)
    with pytest.raises(DataError) as error:
        made(train, split=split)
    *pairs, advice = str(error.value).splitlines()
    assert pairs == [
        "data: 4 records leak (the second of each pair is held out):",
        "  val.jsonl:11 and test.jsonl:2: same text",
        "  d.jsonl:31 and test.jsonl:1: nearly the same text",
        "  d.jsonl:32 and test.jsonl:3: nearly the same text",
        "  d.jsonl:33 and val.jsonl:1: same content",
    ]
    assert advice.startswith(
        "Take them out of one of the two, or set data.leaks.action to drop: then the first of"
    )
    assert not (tmp_path / "runs" / "data").exists()


def test_leaks_into_given_sides_can_be_dropped_and_are_counted(made, tmp_path):
    train, split = given_sides(tmp_path)
    prepared = made(train, split=split, leaks={"action": "drop"})
    assert prepared.counts == {"train": 30, "validation": 10, "test": 20, "dropped": 4}
    leaks = prepared.certificate.leaks
    assert (leaks.exact_pairs, leaks.near_pairs, leaks.dropped) == (2, 2, 4)
    assert ("d.jsonl:32", "test.jsonl:3", "nearly the same text") in leaks.examples
    prepared.verify()


def test_validation_can_be_chosen_beside_a_given_test_side(made, tmp_path):
    write(tmp_path / "test.jsonl", rows()[:50])
    prepared = made(rows()[50:], split={"holdout": {"kind": "jsonl", "path": "test.jsonl"}, "validation": 15})
    assert prepared.counts == {"train": 135, "validation": 15, "test": 50, "dropped": 0}


def test_one_file_given_for_both_sides_is_refused(made):
    with pytest.raises(DataError, match=r"data: 200 records leak"):
        made(rows(), split={"holdout": {"kind": "jsonl", "path": "d.jsonl"}})


def test_an_earlier_manifest_gives_its_sides_to_another_experiment(made, tmp_path):
    first = made(rows(), split={"holdout": 30, "seed": 5})
    folder = tmp_path / "other"
    for manifest in ("runs/data", "runs/data/manifest.parquet"):
        data = settings(split={"manifest": manifest, "validation": 0.5})
        again = prepare(data, ("text",), tmp_path, folder)
        assert all(fields(again, side) == fields(first, side) for side in SIDES)
    with pytest.raises(DataError, match=r"data.split.manifest: none does not exist in "):
        prepare(settings(split={"manifest": "none"}), ("text",), tmp_path, folder)


def test_bad_rows_stop_or_are_skipped_and_counted(made):
    def check(record):
        if record.fields["label"] == 3:
            raise DataError(f"{record.id}: label 3 is none of 0, 1, 2.")

    with pytest.raises(
        DataError,
        match=r"data: 50 rows cannot be used:\n  d.jsonl:4: label 3 is none of 0, 1, 2. "
        r"\(and 49 rows like it: 8, 12, 16, \.\.\.\)\n",
    ):
        made(rows(), check=check)
    prepared = made(rows(), check=check, on_bad_rows="skip")
    assert prepared.certificate.bad_rows.count == 50
    assert prepared.certificate.bad_rows.first[0] == ("d.jsonl:4", "label 3 is none of 0, 1, 2.")
    assert sum(prepared.counts.values()) == 150
    with pytest.raises(
        DataError,
        match=r"data: no row can be used, of 200 rows; the first is d.jsonl:1: data\.split\.group: there is no",
    ):
        made(rows(), on_bad_rows="skip", split={"group": "no"})


@pytest.mark.parametrize("setting", ["group", "stratify", "by"])
def test_a_field_of_the_split_that_is_missing_is_told_with_those_that_are_there(made, setting):
    value = ["labl"] if setting == "by" else "labl"
    with pytest.raises(
        DataError, match=rf"data\.split\.{setting}: there is no field 'labl' \(.*\)\. Did you mean 'label'"
    ):
        made(rows(), split={setting: value})


def test_a_hold_out_that_leaves_nothing_to_train_on_is_refused(made):
    with pytest.raises(
        DataError, match=r"no record is left to train on, of 2 \(0 dropped, 1 validation, 1 test\)"
    ):
        made(rows(2))


def test_dropping_leaks_that_leaves_nothing_to_train_on_is_refused(made):
    split = {"holdout": {"kind": "jsonl", "path": "d.jsonl"}}
    with pytest.raises(
        DataError, match=r"no record is left to train on, of 20 \(10 dropped, 0 validation, 10 test\)"
    ):
        made(rows(10), split=split, leaks={"action": "drop"})


def test_a_broken_folder_is_refused_and_made_again_once_it_is_deleted(made):
    first = made(rows())
    (first.folder / "manifest.json").write_text("{")
    with pytest.raises(
        DataError, match=r"manifest\.json: was changed after it was written .* Delete the folder"
    ):
        made()
    shutil.rmtree(first.folder)
    again = made()
    again.verify()
    assert again.certificate.checksum == first.certificate.checksum


def test_prepared_once_nothing_is_read_again_until_something_changes(made, tmp_path):
    first = made(rows())
    before = (first.folder / "records.arrow").stat().st_ino
    assert (made().folder / "records.arrow").stat().st_ino == before
    assert sum(made(rows(100)).counts.values()) == 100
    assert made(split={"holdout": 20}).counts["test"] == 20


def test_the_key_follows_what_the_folder_is_made_from_and_nothing_else(made, tmp_path):
    write(tmp_path / "d.jsonl", rows(10))
    key = prepared_key(settings(), ("text",), tmp_path)
    assert len(key) == 12
    assert key == prepared_key(settings(length={"max_tokens": 100}), ("text",), tmp_path)
    others = [
        prepared_key(settings(), ("label",), tmp_path),
        prepared_key(settings(split={"seed": 1}), ("text",), tmp_path),
        prepared_key(settings(), ("text",), tmp_path, checked="other task"),
    ]
    os.utime(tmp_path / "d.jsonl", ns=(1, 1))
    assert len({key, *others, prepared_key(settings(), ("text",), tmp_path)}) == 5


def test_opening_what_is_not_there_says_to_prepare(tmp_path):
    with pytest.raises(
        DataError, match=r"manifest\.json: cannot be read .* Delete the folder .* and prepare the data again"
    ):
        Prepared.open(tmp_path)


def change(folder, what):
    """Put another store or manifest in place of what was made."""
    store = RecordStore(folder / "records.arrow")
    stored = list(store.stored())
    table = pq.read_table(folder / "manifest.parquet")
    if what == "text":
        stored[3] = (stored[3][0], stored[3][1], '{"text":"other"}')
    elif what == "fewer":
        stored.pop()
    elif what == "side":
        sides = table["side"].to_pylist()
        table = table.set_column(3, "side", [[sides[-1], *sides[:-1]]])
        pq.write_table(table, folder / "manifest.parquet")
    with write_store(folder / "records.arrow") as writer:
        for row in stored:
            writer.add(*row)


@pytest.mark.parametrize(
    ("what", "message"),
    [
        (
            "text",
            "1 record is not what the manifest says: d.jsonl:4. Remove the folder and prepare",
        ),
        ("fewer", "199 records, but 200 in the manifest"),
        ("side", "its checksum is .* it was changed"),
    ],
)
def test_a_changed_folder_is_found_out(made, what, message):
    prepared = made(rows())
    change(prepared.folder, what)
    with pytest.raises(DataError, match=r"(?s)was changed after it was written .*Delete the folder"):
        Prepared.open(prepared.folder).verify()
    # Of a folder without hashes, which an earlier version made, the records tell it.
    (prepared.folder / SUMS).unlink()
    with pytest.raises(DataError, match=message):
        Prepared.open(prepared.folder).verify()


@pytest.mark.parametrize("group", [None, "who"])
def test_verify_finds_pairs_even_if_the_checksum_was_made_to_fit(made, group):
    from tunesmith.split.manifest import checksum

    twins = [*rows(), *rows(20)]
    prepared = made(twins, split={"group": group})
    table = pq.read_table(prepared.folder / "manifest.parquet")
    sides = ["test" if number < 10 else "train" for number in range(220)]
    table = table.set_column(3, "side", [sides])
    pq.write_table(table, prepared.folder / "manifest.parquet")
    certificate = replace(prepared.certificate, checksum=checksum(table))
    MANIFEST.write(prepared.folder, certificate)
    (prepared.folder / SUMS).unlink()
    with pytest.raises(
        DataError, match=r"data: 10 records leak .*\n  d.jsonl:201 and d.jsonl:1: same content"
    ):
        Prepared.open(prepared.folder).verify()


KILLED = """
import os, signal, sys
from pathlib import Path
from tunesmith.config.experiment import Data
from tunesmith.split.prepare import prepare
from tunesmith.split.reading import Use
base, at = Path(sys.argv[1]), sys.argv[2]
def check(record):
    if record.id == at:
        os.kill(os.getpid(), signal.SIGKILL)
data = Data.model_validate({"source": {"kind": "jsonl", "path": "d.jsonl"}})
prepare(data, ("text",), base, base / "runs" / "data", Use(check))
"""


def test_killed_half_way_the_next_start_is_clean(made, tmp_path):
    write(tmp_path / "d.jsonl", rows())
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path), "d.jsonl:150"], check=False)
    assert done.returncode == -signal.SIGKILL
    assert not (tmp_path / "runs" / "data").exists()
    made().verify()
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["data"]
    assert sorted(path.name for path in (tmp_path / "runs" / "data").iterdir()) == [
        SUMS,
        "manifest.json",
        "manifest.parquet",
        "records.arrow",
    ]


def sides_of(prepared, name="text"):
    return {record.fields[name]: side for side in SIDES for record in prepared.records(side)}


@pytest.mark.parametrize("split", [{}, {"stratify": "label"}, {"group": "who"}])
def test_another_column_a_corrected_label_and_added_rows_leave_every_record_where_it_was(made, split):
    base = rows(1000)
    before = sides_of(made(base, split=split))
    corrected = [
        {**row, "label": (row["label"] + 1) % 4} if number in (7, 70) else row
        for number, row in enumerate(base)
    ]
    near = [{**base[number], "text": base[number]["text"] + " so"} for number in range(0, 40, 2)]
    more = [{**row, "text": f"other {row['text'][::-1]}"} for row in rows(20)]
    for changed in ([{**row, "new": 1} for row in base], corrected, [*base, *near, *more]):
        after = sides_of(made(changed, split=split))
        moved = [text for text, side in before.items() if after[text] != side]
        assert len(moved) <= (4 if "stratify" in split else 0)


def test_an_earlier_manifest_accepts_added_corrected_and_removed_records_and_says_so(made, tmp_path):
    first = made(rows(), split={"holdout": 30, "seed": 5})
    before = sides_of(first)
    os.rename(first.folder, tmp_path / "first")
    data = [{**row, "label": 9} if number == 3 else row for number, row in enumerate(rows()) if number != 0]
    added = [{"text": f"fresh {article(number + 1000)}", "label": 0, "who": "x"} for number in range(50)]
    beside = [{"text": row["text"] + " too", "label": 0, "who": "y"} for row in data[:100]]
    again = made([*added, *data, *beside], split={"manifest": "first", "validation": 0.2, "holdout": 0.2})
    after = sides_of(again)
    assert all(after[text] == side for text, side in before.items() if text in after)
    assert all(after[row["text"] + " too"] == after[row["text"]] for row in data[:100])
    fresh = Counter(after[row["text"]] for row in added)
    assert fresh["test"] > 2
    assert fresh["train"] > 20
    told = again.certificate.earlier
    assert (told.unchanged, told.corrected, told.added, told.removed) == (198, 1, 150, 1)
    assert again.certificate.notes[0].startswith(
        "sides kept from first: 198 records unchanged, 1 corrected ("
    )


def test_an_added_record_that_would_make_another_change_sides_is_named_or_left_out(made, tmp_path):
    half = [article(number, 30) for number in (5001, 5002)]
    base = [*rows(100), {"text": half[0], "label": 0}, {"text": half[1], "label": 0}]
    split = {"holdout": {"kind": "jsonl", "path": "test.jsonl"}, "validation": 0}
    write(tmp_path / "test.jsonl", base[-1:])
    first = made(base[:-1], split=split)
    os.rename(first.folder, tmp_path / "first")
    bridge = {"text": f"{half[0]} {half[1]}", "label": 0}
    data = [*base, bridge]
    with pytest.raises(
        DataError, match=r"(?s)d.jsonl:103 and d.jsonl:102: nearly the same text\n.*would have to change"
    ):
        made(data, split={"manifest": "first", "validation": 0})
    kept = made(data, split={"manifest": "first", "validation": 0}, leaks={"action": "drop"})
    assert kept.counts == {"train": 101, "validation": 0, "test": 1, "dropped": 1}
    write(tmp_path / "test.jsonl", base[:1])
    with pytest.raises(
        DataError, match=r"1 record would have to change sides:\n  test.jsonl:1: train before, test now"
    ):
        made(base[1:], split={**split, "manifest": "first"})


def test_records_that_contradict_one_another_are_said(made):
    twice = [*rows(20), {**rows(1)[0], "label": 3}]
    data = settings(split={"holdout": 2, "validation": 0})
    prepared = made(
        twice,
        check=lambda record: RowNotes(answer=str(record.fields["label"])),
        **data.model_dump(include={"split"}),
    )
    (remark,) = (one for one in prepared.certificate.notes if "more than one answer" in one)
    assert remark == "2 records ask 1 question that has more than one answer: d.jsonl:1 0 and d.jsonl:21 3"


def test_a_condition_that_holds_for_no_record_is_named(tmp_path):
    (tmp_path / "d.jsonl").write_text('{"text": "a"}\n{"text": "b"}\n')
    data = Data.model_validate({"source": {"kind": "jsonl", "path": "d.jsonl"}, "where": "text == 'c'"})
    with pytest.raises(DataError, match=r"^data\.where: \"text == 'c'\" holds for no record$"):
        prepare(data, ("text",), tmp_path, tmp_path / "made")
