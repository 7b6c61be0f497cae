import os

import pytest

from tunesmith.errors import DataError
from tunesmith.records.record import Record
from tunesmith.records.sources import BadRow
from tunesmith.records.sources.images import Images


@pytest.fixture
def folder(tmp_path):
    for name in (
        "cat/10.jpg",
        "cat/9.jpg",
        "Dog/a.png",
        "Dog/more/b.png",
        "cat/.DS_Store",
        ".git/x",
        "cat/Thumbs.db",
    ):
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "photos" / name).write_text(name)
    return tmp_path


def test_a_record_a_file_named_by_its_path_with_its_folder_as_label_in_natural_order(folder):
    rows = list(Images(path="photos/").rows(folder))
    assert rows == [
        Record("photos/cat/9.jpg", {"image": "cat/9.jpg", "label": "cat"}),
        Record("photos/cat/10.jpg", {"image": "cat/10.jpg", "label": "cat"}),
        Record("photos/Dog/a.png", {"image": "Dog/a.png", "label": "Dog"}),
        Record("photos/Dog/more/b.png", {"image": "Dog/more/b.png", "label": "Dog"}),
    ]
    assert Images(path="photos/").beside(folder, rows[0].id) == "photos"
    renamed = next(Images(path="photos", columns={"picture": "image"}).rows(folder))
    assert renamed.fields == {"picture": "cat/9.jpg", "label": "cat"}


def test_a_file_outside_of_all_classes_is_a_bad_row(folder):
    (folder / "photos" / "stray.jpg").touch()
    first = next(Images(path="photos").rows(folder))
    assert first == BadRow("photos/stray.jpg", "lies in no folder of a class. Move it into one.")


def test_a_class_without_a_picture_is_told_and_not_passed_over(folder):
    (folder / "photos" / "bird").mkdir()
    (folder / "photos" / "bird" / ".DS_Store").touch()
    rows = list(Images(path="photos").rows(folder))
    bad = BadRow("photos/bird", "is an empty folder. Put the pictures of that class into it, or remove it.")
    assert [row for row in rows if isinstance(row, BadRow)] == [bad]
    assert len(rows) == 5


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("photo", r"photo: there is no such folder in .*\. Did you mean 'photos'"),
        ("photos/cat/9.jpg", r"is a file. Name the folder that holds a folder for each class"),
        ("photos/cat", r"photos/cat: holds no pictures in folders. Put the pictures of each class into"),
    ],
)
def test_a_folder_that_holds_no_classes_is_told(folder, path, why):
    with pytest.raises(DataError, match=why):
        list(Images(path=path).rows(folder))


def test_the_fingerprint_follows_names_sizes_and_times(folder):
    source = Images(path="photos")
    told = {source.fingerprint(folder)}
    os.utime(folder / "photos/cat/9.jpg", ns=(1, 1))
    told.add(source.fingerprint(folder))
    (folder / "photos/cat/9.jpg").rename(folder / "photos/cat/8.jpg")
    told.add(source.fingerprint(folder))
    (folder / "photos/cat/broken.jpg").symlink_to("nowhere")
    told.add(source.fingerprint(folder))
    assert len(told) == 4
    (folder / "photos/.hidden").touch()
    assert source.fingerprint(folder) in told


def test_a_pattern_makes_further_fields_of_a_files_path(folder):
    named = list(Images(path="photos", pattern="(?P<person>[^/]+/[^/]+)/").rows(folder))
    assert named[-1] == Record(
        "photos/Dog/more/b.png", {"image": "Dog/more/b.png", "label": "Dog", "person": "Dog/more"}
    )
    assert named[0] == BadRow(
        "photos/cat/9.jpg", "does not fit data.source.pattern, '(?P<person>[^/]+/[^/]+)/'."
    )


@pytest.mark.parametrize("pattern", ["(", "[^/]+/", "(?P<label>x)"])
def test_a_pattern_that_names_no_field_of_its_own_is_refused(pattern):
    with pytest.raises(ValueError, match=r"is no regular expression|it needs a named group"):
        Images(path="photos", pattern=pattern)
