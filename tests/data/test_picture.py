from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tunesmith.data.picture import Picture

BESIDE = Picture("a/1.png", "0" * 64, 640, 480, "f" * 16, root=Path("data"))


def test_a_picture_comes_back_from_its_record_wherever_the_folders_are_by_then() -> None:
    assert Picture.is_one(BESIDE.to_json())
    again = Picture.of_json(BESIDE.to_json(), stored=Path("prepared"), beside=Path("moved"))
    assert again == BESIDE
    assert again.file == Path("moved/a/1.png")


def test_a_copy_lies_in_the_prepared_folder() -> None:
    copy = replace(BESIDE, stored=True)
    assert Picture.of_json(copy.to_json(), Path("prepared"), Path("moved")).file == Path("prepared/a/1.png")


def test_other_mappings_are_no_pictures() -> None:
    assert not Picture.is_one({"picture": "a.png"})
    assert not Picture.is_one({**BESIDE.to_json(), "more": 1})
