import base64

import pytest

from tunesmith.errors import DataError
from tunesmith.records.picture_values import with_picture_values
from tunesmith.records.record import Record

BYTES = b"\x89PNG\r\n\x1a\n" + bytes(range(200))
TEXT = base64.b64encode(BYTES).decode()


@pytest.mark.parametrize(
    ("value", "made"),
    [
        ("a.jpg", "a.jpg"), (7, 7), (BYTES, BYTES), ("data:image/png;base64," + TEXT, BYTES), (TEXT, BYTES),
        ({"bytes": TEXT}, BYTES), ({"bytes": BYTES, "path": None}, {"bytes": BYTES, "path": None}),
        ({"url": "a.jpg"}, "a.jpg"), ({"src": "data:image/png;base64," + TEXT}, BYTES),
        ("file:///tmp/a%20b.jpg", "/tmp/a b.jpg"), (["a", "", None, {"url": "b"}], ["a", "b"]),
        ("None", None), ("NaN", None), ('["a.jpg", null, "none"]', ["a.jpg"]), ("[]", []), ("[1] a.jpg", "[1] a.jpg"),
        ({"image_url": {"url": "a.jpg"}}, "a.jpg"), ("", None), (" ", None), ({}, None),
        ({"bytes": None, "path": None}, None), (None, None), ([None], []),
    ],
)  # fmt: skip
def test_a_picture_is_read_in_the_forms_of_other_tools(value, made):
    assert with_picture_values(Record("a:1", {"image": value}), ["image"]).fields["image"] == made


def test_a_dotted_name_gets_a_field_and_a_missing_one_none():
    record = with_picture_values(Record("a:1", {"meta": {"image": BYTES, "id": 3}}), ["meta.image", "other"])
    assert record.fields == {"meta": {"id": 3}, "meta.image": BYTES}


def test_what_is_no_base64_is_told_in_a_short_line():
    with pytest.raises(DataError, match=r"^a:1: field 'image': '\?\?\?.{0,60} is no base64 of a picture"):
        with_picture_values(Record("a:1", {"image": "data:image/png;base64,???" + "x" * 10_000}), ["image"])
