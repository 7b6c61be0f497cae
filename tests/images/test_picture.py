import json
from pathlib import Path

import pytest

from tunesmith.images.picture import Picture, as_json, pictures_in

ONE = Picture("a/1.jpg", "ab" * 32, 4, 3, "0f" * 8, root=Path("data"))
COPY = Picture("pictures/cd/cd", "cd" * 32, 4, 3, "0f" * 8, stored=True, root=Path("prepared"))


@pytest.mark.parametrize(("picture", "file"), [(ONE, "now/a/1.jpg"), (COPY, "made/pictures/cd/cd")])
def test_a_stored_picture_is_found_where_its_folder_is_now(picture, file):
    told = json.loads(json.dumps(picture.to_json()))
    assert Picture.is_json(told)
    read = Picture.from_json(told, stored=Path("made"), root=Path("now"))
    assert read == picture
    assert read.file == Path(file)


def test_what_a_record_says_of_a_picture_is_not_taken_for_a_stored_one():
    for value in ({"bytes": None, "path": "x"}, {"picture": "x"}, {}, ONE.to_json() | {"more": 1}):
        assert not Picture.is_json(value)


def test_the_pictures_of_a_record_come_in_the_order_of_its_fields():
    fields = {"text": "x", "image": COPY, "others": [ONE, COPY], "none": None, "list": ["x"]}
    assert list(pictures_in(fields)) == [COPY, ONE, COPY]
    assert json.loads(json.dumps([ONE], default=as_json)) == [ONE.to_json()]
    with pytest.raises(TypeError, match="bytes is not JSON"):
        json.dumps(b"", default=as_json)
