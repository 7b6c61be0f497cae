"""Records with pictures, from their files to the prepared folder and back."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tests.images.made import put, saved, scene
from tunesmith.config.experiment import Data
from tunesmith.errors import DataError
from tunesmith.files import write_sums
from tunesmith.runs.manifest import MANIFEST
from tunesmith.split import manifest
from tunesmith.split.prepare import Prepared, prepare, prepared_key
from tunesmith.split.reading import Use

SIDES = ("train", "validation", "test")
ASKED = ("image", "question")


def settings(**given):
    return Data.model_validate({"source": {"kind": "jsonl", "path": "data/d.jsonl"}, **given})


def write(path, rows):
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def ready(base, data, check=None, pictures=("image",)):
    return prepare(
        data,
        ASKED,
        base,
        base / "runs" / "data",
        check and Use(check),
        lambda what, done: None,
        pictures=pictures,
    )


@pytest.fixture
def made(tmp_path):
    """A call that prepares rows of `data/d.jsonl`, which name pictures beside it."""

    def make(rows=None, **given):
        if rows is not None:
            write(tmp_path / "data/d.jsonl", rows)
        return ready(tmp_path, settings(**given))

    return make


def questions(folder, count=30, each=2):
    """Rows of several questions a picture, whose files are made."""
    for number in range(count):
        put(folder / f"data/img/{number}.jpg", scene(number))
    return [
        {"image": f"img/{number}.jpg", "question": f"What is part {part} of it?", "answer": f"a{number}"}
        for part in range(each)
        for number in range(count)
    ]


def everything(prepared):
    return [record for side in SIDES for record in prepared.records(side)]


def test_records_come_back_with_pictures_that_lie_beside_their_data_file(made, tmp_path):
    checked = []
    write(tmp_path / "data/d.jsonl", questions(tmp_path))
    prepared = ready(tmp_path, settings(), lambda record: checked.append(record.fields["image"].width))
    records = everything(prepared)
    assert checked == [96] * 60
    for record in records:
        picture = record.fields["image"]
        number = record.fields["answer"][1:]
        assert (picture.width, picture.height, picture.path) == (96, 64, f"img/{number}.jpg")
        assert picture.file == tmp_path / f"data/img/{number}.jpg"
    hashes = set(manifest.read_rows(prepared.folder / "manifest.parquet")["sha256"].to_pylist())
    assert {record.sha256 for record in records} == hashes
    prepared.verify()
    assert prepared.certificate.duplicates["picture"] == 30
    assert "near" in prepared.certificate.duplicates


def test_all_questions_about_a_picture_are_on_one_side(made, tmp_path):
    prepared = made(questions(tmp_path), split={"holdout": 20, "validation": 10})
    sides = [{record.fields["image"].sha256 for record in prepared.records(side)} for side in SIDES]
    assert sum(map(len, sides)) == 30
    assert [len(prepared.records(side)) for side in SIDES] == [30, 10, 20]


def test_words_alone_do_not_make_records_with_pictures_near_duplicates(made, tmp_path):
    text = " ".join(f"w{number}" for number in range(60))
    rows = [{**row, "question": text} for row in questions(tmp_path, each=1)]
    assert made(rows).certificate.duplicates == {"content": 0, "text": 0, "near": 0, "picture": 0}


def test_what_is_stored_does_not_depend_on_where_the_data_are_and_moves_with_them(made, tmp_path):
    first = made(questions(tmp_path))
    there = tmp_path / "elsewhere" / "moved"
    there.mkdir(parents=True)
    shutil.move(tmp_path / "data", there / "data")
    (again := ready(there, settings())).verify()
    assert again.certificate.checksum == first.certificate.checksum
    moved = Prepared.open(first.folder, there)
    moved.verify()
    assert all(record.fields["image"].file.is_file() for record in everything(moved))
    absolute = settings(source={"kind": "jsonl", "path": str(there / "data/d.jsonl")})
    by_hash = {record.sha256 for record in everything(ready(tmp_path, absolute))}
    assert by_hash == {record.sha256 for record in everything(first)}


def test_pictures_in_a_folder_of_their_own_named_by_a_template(made, tmp_path):
    rows = [{**row, "image": int(row["answer"][1:])} for row in questions(tmp_path)]
    shutil.move(tmp_path / "data/img", tmp_path / "shots")
    prepared = made(rows, pictures={"folder": "shots", "name": "{}.jpg"})
    assert all(record.fields["image"].file.is_file() for record in everything(prepared))
    with pytest.raises(DataError, match=r"d.jsonl:1: field 'image': '0.jpg' does not exist in .*data\."):
        made(pictures={"name": "{}.jpg"})


def test_a_missing_folder_of_pictures_is_told_once_and_not_for_every_row(made, tmp_path):
    rows = questions(tmp_path)
    with pytest.raises(DataError) as error:
        made(rows, pictures={"folder": "data/imgs"})
    assert str(error.value) == (
        f"data.pictures.folder: there is no folder 'imgs' in {tmp_path}/data. Did you mean 'img'?"
    )
    with pytest.raises(DataError, match=r"there is no folder 'elsewhere' in .*\. It has data"):
        made(pictures={"folder": "elsewhere"})


def test_every_fault_is_a_bad_row_named_by_its_line(made, tmp_path):
    rows = questions(tmp_path, each=1)
    (tmp_path / "data/img/3.jpg").write_bytes((tmp_path / "data/img/3.jpg").read_bytes()[:700])
    rows[5]["image"] = "img/5.png"
    rows[7]["image"] = "../../x.jpg"
    with pytest.raises(DataError) as error:
        made(rows)
    lines = str(error.value).splitlines()
    assert lines[0] == "data: 3 rows cannot be used:"
    assert lines[1].startswith("  data/d.jsonl:4: field 'image': 'img/3.jpg' is cut off")
    assert lines[2].startswith("  data/d.jsonl:6: field 'image': 'img/5.png' does not exist")
    assert lines[2].endswith("Did you mean '5.jpg'?")
    assert lines[3].startswith("  data/d.jsonl:8: field 'image': '../../x.jpg' leads out of")
    prepared = made(on_bad_rows="skip")
    assert prepared.certificate.bad_rows.count == 3
    assert sum(prepared.counts.values()) == 27


def as_arrow(tmp_path, count=30):
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    images = [{"bytes": saved(scene(number % 20)), "path": f"{number}.png"} for number in range(count)]
    names = [f"what is {number}" for number in range(count)]
    return pa.table({"image": pa.array(images, kind), "question": names, "raw": [b"x"] * count})


@pytest.mark.parametrize("kind", ["parquet", "hub"])
def test_pictures_as_bytes_are_copied_once_into_the_prepared_folder(tmp_path, kind, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    table = as_arrow(tmp_path)
    (tmp_path / "data").mkdir()
    if kind == "parquet":
        pq.write_table(table, tmp_path / "data/d.parquet")
        source = {"kind": "parquet", "path": "data/d.parquet"}
    else:
        features = datasets.Features({"image": datasets.Image(), "question": datasets.Value("string")})
        rows = table.select(["image", "question"]).to_pydict()
        datasets.disable_progress_bars()
        datasets.Dataset.from_dict(rows, features=features).to_parquet(tmp_path / "data/train.parquet")
        source = {"kind": "hub", "path": "data"}
    prepared = ready(tmp_path, settings(source=source))
    records = everything(prepared)
    assert {record.fields.keys() == {"image", "question"} for record in records} == {True}
    shutil.move(prepared.folder, tmp_path / "moved")
    for record in everything(Prepared.open(tmp_path / "moved")):
        picture = record.fields["image"]
        assert picture.file.parents[2] == tmp_path / "moved"
        assert picture.file.read_bytes() == saved(scene((int(record.fields["question"].split()[-1])) % 20))
    assert sum(file.is_file() for file in (tmp_path / "moved/pictures").rglob("*")) == 20
    assert prepared.certificate.duplicates["picture"] == 10
    Prepared.open(tmp_path / "moved").verify()


def test_a_task_about_text_alone_reads_a_data_set_with_pictures_as_before(tmp_path):
    (tmp_path / "data").mkdir()
    pq.write_table(as_arrow(tmp_path), tmp_path / "data/d.parquet")
    source = {"kind": "parquet", "path": "data/d.parquet"}
    prepared = ready(tmp_path, settings(source=source), pictures=())
    assert {tuple(record.fields) for record in everything(prepared)} == {("question",)}
    assert "picture" not in prepared.certificate.duplicates
    assert not (prepared.folder / "pictures").exists()


def test_a_folder_of_classes_is_prepared(tmp_path):
    for number in range(40):
        put(tmp_path / f"photos/class{number % 4}/{number}.png", scene(number))
    data = settings(source={"kind": "images", "path": "photos"}, split={"holdout": 8, "stratify": "label"})
    prepared = prepare(data, ("image",), tmp_path, tmp_path / "runs", pictures=("image",))
    assert prepared.certificate.strata["test"] == {f"class{number}": 2 for number in range(4)}
    assert all(record.fields["image"].file.is_file() for record in everything(prepared))
    assert {record.id.rpartition("/")[0] for record in everything(prepared)} == {
        f"photos/class{number}" for number in range(4)
    }


def test_several_pictures_in_a_record(made, tmp_path):
    rows = questions(tmp_path, each=1)
    several = [{**row, "image": [row["image"], rows[(at // 3) * 3]["image"]]} for at, row in enumerate(rows)]
    prepared = made(several, split={"holdout": 6, "validation": 3})
    shown = [
        {picture.sha256 for record in prepared.records(side) for picture in record.fields["image"]}
        for side in SIDES
    ]
    assert not (shown[0] & shown[1] | shown[0] & shown[2] | shown[1] & shown[2])


def versions(folder):
    """Rows to train on, three of which show versions of pictures that are held out."""
    for number in range(30):
        put(folder / f"data/{number}.png", scene(number, 192, 128))
    held = [{"image": f"{number}.png", "question": "?"} for number in range(5)]
    train = [{"image": f"{number}.png", "question": "?"} for number in range(5, 30)]
    shutil.copy(folder / "data/0.png", folder / "data/renamed.png")
    put(folder / "data/resized.png", scene(1, 192, 128).resize((75, 50)))
    put(folder / "data/encoded.jpg", scene(2, 192, 128), quality=40)
    put(folder / "data/blank1.png", Image.new("RGB", (64, 64), "white"))
    put(folder / "data/blank2.png", Image.new("RGB", (64, 64), "grey"))
    train += [{"image": name, "question": "!"} for name in ("renamed.png", "resized.png", "encoded.jpg")]
    train.append({"image": "blank1.png", "question": "??"})
    write(folder / "data/t.jsonl", [*held, {"image": "blank2.png", "question": "???"}])
    write(folder / "data/d.jsonl", train)
    return {"holdout": {"kind": "jsonl", "path": "data/t.jsonl"}, "validation": 3}


def test_renamed_resized_and_re_encoded_copies_of_held_out_pictures_are_leaks(made, tmp_path):
    split = versions(tmp_path)
    with pytest.raises(DataError) as error:
        made(split=split)
    assert str(error.value).splitlines()[:4] == [
        "data: 3 records leak (the second of each pair is held out):",
        "  data/d.jsonl:26 and data/t.jsonl:1: same picture",
        "  data/d.jsonl:27 and data/t.jsonl:2: pictures look alike",
        "  data/d.jsonl:28 and data/t.jsonl:3: pictures look alike",
    ]
    prepared = made(split=split, leaks={"action": "drop"})
    leaks = prepared.certificate.leaks
    assert (leaks.exact_pairs, leaks.near_pairs, leaks.picture_pairs, leaks.dropped) == (
        0,
        0,
        3,
        3,
    )
    assert (leaks.pictures, prepared.counts["train"]) == (0.93, 23)
    prepared.verify()
    only_files = made(split=split, leaks={"action": "drop", "pictures": None})
    assert only_files.certificate.leaks.picture_pairs == 1
    only_files.verify()


def test_versions_of_a_picture_stay_on_one_side(made, tmp_path):
    rows = questions(tmp_path, each=1)
    for number in range(30):
        scene(number).resize((75, 50)).save(tmp_path / f"data/img/{number}.webp")
    rows += [{**row, "image": row["image"].replace("jpg", "webp")} for row in rows]
    prepared = made(rows, split={"holdout": 20, "validation": 10})
    sides = [{record.fields["answer"] for record in prepared.records(side)} for side in SIDES]
    assert [len(side) for side in sides] == [15, 5, 10]
    assert prepared.certificate.duplicates["picture"] == 30


def test_pictures_that_all_look_alike_are_told_as_the_reason(made, tmp_path):
    rows = questions(tmp_path)
    rows = [{**row, "image": "img/0.jpg", "question": str(at)} for at, row in enumerate(rows)]
    with pytest.raises(DataError, match=r"if these are different pictures, set data.leaks.pictures to null"):
        made(rows)


def test_verify_finds_versions_of_a_picture_on_two_sides_from_what_is_stored(made, tmp_path):
    rows = questions(tmp_path)
    prepared = made(rows)
    shutil.rmtree(tmp_path / "data")
    table = pq.read_table(prepared.folder / "manifest.parquet")
    sides = ["test" if number < 10 else "train" for number in range(60)]
    table = table.set_column(3, "side", [sides])
    pq.write_table(table, prepared.folder / "manifest.parquet")
    certificate = replace(prepared.certificate, checksum=manifest.checksum(table))
    MANIFEST.write(prepared.folder, certificate)
    write_sums(prepared.folder, "records.arrow", "manifest.parquet", "manifest.json")
    with pytest.raises(
        DataError, match=r"10 records leak .*\n  data/d.jsonl:31 and data/d.jsonl:1: same pict"
    ):
        Prepared.open(prepared.folder, tmp_path).verify()


def test_the_key_follows_the_fields_of_pictures_and_where_they_are(tmp_path):
    write(tmp_path / "data/d.jsonl", [{}])

    def key(fields=("image",), **given):
        return prepared_key(settings(**given), ASKED, tmp_path, pictures=fields)

    keys = {key(), key(()), key(pictures={"folder": "x"}), key(leaks={"pictures": 0.5})}
    assert len(keys) == 4


PEAK = """
import resource, sys
from pathlib import Path
from tunesmith.config.experiment import Data
from tunesmith.split.prepare import prepare
base, count = Path(sys.argv[1]), int(sys.argv[2])
source = {"kind": "jsonl", "path": f"{count}.jsonl"}
data = Data.model_validate({"source": source, "leaks": {"near": None}})
prepare(data, ("image",), base, base / f"runs{count}", pictures=("image",))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_pictures(tmp_path):
    for number in range(300):
        put(tmp_path / f"img/{number}.jpg", scene(number, 800, 600))
    peaks = []
    for count in (30, 300):
        write(tmp_path / f"{count}.jsonl", [{"image": f"img/{number}.jpg"} for number in range(count)])
        command = [sys.executable, "-c", PEAK, str(tmp_path), str(count)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=dict(os.environ))
        peaks.append(int(done.stdout))
    assert peaks[1] < peaks[0] + 30
