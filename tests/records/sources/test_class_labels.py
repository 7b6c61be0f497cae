import datasets
import pyarrow as pa
import pyarrow.parquet as pq

from tunesmith.records.sources._class_labels import class_names_in
from tunesmith.records.sources.hub import Hub
from tunesmith.records.sources.parquet import Parquet


def test_class_labels_inside_lists_and_objects_read_as_their_names(tmp_path):
    label = datasets.ClassLabel(names=["tool", "fruit"])
    features = datasets.Features(
        {
            "kinds": datasets.List(label),
            "meta": {"label": label, "n": datasets.Value("int64")},
            "objects": datasets.List({"category": label, "bbox": datasets.List(datasets.Value("int64"))}),
        }
    )
    rows = [
        {"kinds": [1, 0], "meta": {"label": 1, "n": 1}, "objects": [{"category": 0, "bbox": [1, 2]}]},
        {"kinds": [], "meta": {"label": -1, "n": 0}, "objects": []},
    ]
    made = datasets.Dataset.from_list(rows, features=features)
    made.save_to_disk(tmp_path / "saved")
    made.to_parquet(tmp_path / "rows.parquet")
    for source in (Hub(path="saved"), Parquet(path="rows.parquet")):
        first, second = (row.fields for row in source.rows(tmp_path))
        assert first == {
            "kinds": ["fruit", "tool"],
            "meta": {"label": "fruit", "n": 1},
            "objects": [{"category": "tool", "bbox": [1, 2]}],
        }
        assert second == {"kinds": [], "meta": {"label": None, "n": 0}, "objects": []}


def test_class_labels_of_a_parquet_file_read_as_their_names(tmp_path):
    labels = datasets.ClassLabel(names=["tool", "fruit"])
    features = datasets.Features({"text": datasets.Value("string"), "label": labels})
    made = datasets.Dataset.from_dict({"text": ["a", "b", "c"], "label": [1, 0, -1]}, features=features)
    made.to_parquet(tmp_path / "rows.parquet")
    rows = list(Parquet(path="rows.parquet", columns={"kind": "label"}).rows(tmp_path))
    assert [row.fields["kind"] for row in rows] == ["fruit", "tool", None]


def test_a_note_of_another_form_or_of_a_name_that_is_no_longer_there_changes_nothing():
    schema = pa.schema([("label", pa.int64())])
    assert class_names_in(schema) == {}
    for note in (
        b"ClassLabel",
        b'["ClassLabel"]',
        b'{"info": {"features": {"other": {"_type": "ClassLabel"}}}}',
    ):
        assert class_names_in(schema.with_metadata({b"huggingface": note})) == {}


def test_a_position_without_a_name_reads_as_null(tmp_path):
    note = b'{"info": {"features": {"label": {"names": ["a"], "_type": "ClassLabel"}}}}'
    schema = pa.schema([("label", pa.int64())], metadata={b"huggingface": note})
    pq.write_table(pa.table({"label": [0, 1]}, schema=schema), tmp_path / "rows.parquet")
    assert [row.fields["label"] for row in Parquet(path="rows.parquet").rows(tmp_path)] == ["a", None]
