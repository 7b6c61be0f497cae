import sys

import datasets
import pytest

from tunesmith.errors import DataError
from tunesmith.records.record import Record
from tunesmith.records.sources import hub
from tunesmith.records.sources.hub import Hub


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets.disable_progress_bars()
    yield tmp_path
    datasets.enable_progress_bars()


def test_a_folder_in_hub_layout_is_read_offline_by_split(folder):
    (folder / "news").mkdir()
    (folder / "news" / "train.jsonl").write_text('{"text": "a", "n": 1}\n{"text": "b", "n": 2}\n')
    (folder / "news" / "test.jsonl").write_text('{"text": "c", "n": 3}\n')
    assert list(Hub(path="news", split="test").rows(folder)) == [Record("news/test:1", {"text": "c", "n": 3})]
    train = list(Hub(path="news", columns={"q": "text"}).rows(folder))
    assert [row.fields for row in train] == [{"n": 1, "q": "a"}, {"n": 2, "q": "b"}]


def test_class_labels_read_as_their_names_and_no_label_as_null(folder):
    labels = datasets.ClassLabel(names=["World", "Sports"])
    features = datasets.Features({"text": datasets.Value("string"), "label": labels})
    made = datasets.Dataset.from_dict({"text": ["a", "b", "c"], "label": [1, 0, -1]}, features=features)
    datasets.DatasetDict({"train": made}).save_to_disk(folder / "saved")
    rows = list(Hub(path="saved").rows(folder))
    assert [row.fields["label"] for row in rows] == ["Sports", "World", None]
    assert rows[2].id == "saved/train:3"


def test_rows_are_numbered_over_batches(folder):
    datasets.Dataset.from_dict({"n": list(range(2100))}).save_to_disk(folder / "saved")
    rows = list(Hub(path="saved").rows(folder))
    assert [(rows[at].id, rows[at].fields["n"]) for at in (0, 2099)] == [
        ("saved/train:1", 0),
        ("saved/train:2100", 2099),
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"path": "saved", "split": "trian"},
            r"'saved': has no split 'trian' \(train\)\. Did you mean 'train'",
        ),
        ({"path": "news", "split": "dev"}, "'news': .*[Uu]nknown split"),
        ({"path": "nobody/nothing"}, "hub data set 'nobody/nothing': "),
        (
            {"path": "saved", "columns": {"a": "txt"}},
            r"saved/train: has no column 'txt' \(it has text\)\. Did you mean 'text'",
        ),
    ],
)
def test_what_is_not_there_is_told(folder, options, message):
    datasets.DatasetDict({"train": datasets.Dataset.from_dict({"text": ["a"]})}).save_to_disk(
        folder / "saved"
    )
    (folder / "news").mkdir()
    (folder / "news" / "train.jsonl").write_text('{"text": "a"}\n')
    with pytest.raises(DataError, match=message):
        list(Hub(**options).rows(folder))


def test_the_fingerprint_follows_the_files_of_a_folder_and_the_revision_of_a_name(folder):
    (folder / "news").mkdir()
    (folder / "news" / "train.jsonl").write_text("{}\n")
    before = Hub(path="news").fingerprint(folder)
    (folder / "news" / "train.jsonl").write_text("{}\n{}\n")
    assert Hub(path="news").fingerprint(folder) != before
    assert Hub(path="a/b").fingerprint(folder) != Hub(path="a/b", revision="v1").fingerprint(folder)


def test_pictures_come_as_the_bytes_of_their_files_if_they_are_asked_for(folder):
    from tests.images.made import saved, scene

    contents = [saved(scene(number), "JPEG") for number in range(3)]
    features = datasets.Features({"text": datasets.Value("string"), "image": datasets.Image()})
    rows = {"text": ["a", "b", "c"], "image": [{"bytes": content, "path": None} for content in contents]}
    made = datasets.Dataset.from_dict(rows, features=features)
    (folder / "hub" / "data").mkdir(parents=True)
    made.to_parquet(folder / "hub" / "data" / "train-00000-of-00001.parquet")
    made.save_to_disk(folder / "saved")
    for path in ("hub", "saved"):
        source = Hub(path=path)
        assert [row.fields for row in source.rows(folder)] == [{"text": text} for text in "abc"]
        found = [row.fields["image"] for row in source.rows_with_pictures(folder, ("image",))]
        assert [image["bytes"] for image in found] == contents
        assert (source.beside(folder, f"{path}/train:1"), Hub(path="a/b").beside(folder, "a/b:1")) == (
            path,
            "",
        )


def test_a_folder_that_ends_the_process_that_reads_it_is_one_sentence(folder, monkeypatch):
    datasets.Dataset.from_dict({"text": ["a"]}).save_to_disk(folder / "saved")
    (folder / "aborts.py").write_text("import os\nos.abort()\n")
    batches_of = hub.batches_of
    monkeypatch.setattr(hub, "batches_of", lambda _: batches_of([sys.executable, str(folder / "aborts.py")]))
    with pytest.raises(DataError, match=r"^hub data set 'saved': reading it ends with signal 6"):
        list(Hub(path="saved").rows(folder))
