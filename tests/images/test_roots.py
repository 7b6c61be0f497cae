import json
from pathlib import Path

from tunesmith.images.picture import Picture
from tunesmith.images.roots import ImageRootLog, ImageRoots

ONE = Picture("1.jpg", "ab" * 32, 4, 3, "0f" * 8)


def test_each_record_finds_its_pictures_in_the_folder_of_its_own_file():
    folders = ImageRootLog()
    for index, folder in ((2, "one"), (3, "one"), (7, "two"), (9, "one")):
        folders.note(index, folder)
    assert folders.runs == [(2, "one"), (7, "two"), (9, "one")]
    places = ImageRoots(Path("prepared"), Path("base"), tuple(folders.runs))
    text = json.dumps({"image": ONE.to_json(), "more": [ONE.to_json()], "text": {"picture": "x"}})
    found = [places.fields(index, text)["image"].file for index in (0, 2, 6, 7, 8, 12)]
    assert [file.parent.as_posix() for file in found] == [
        "base",
        "base/one",
        "base/one",
        "base/two",
        "base/two",
        "base/one",
    ]
    fields = places.fields(2, text)
    assert fields["more"] == [ONE]
    assert fields["text"] == {"picture": "x"}
