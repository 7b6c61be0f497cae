import base64
import hashlib
import os
import sys
import threading
import time
import tracemalloc
from pathlib import Path
from urllib.parse import quote

import imagehash
import pytest
from PIL import Image

from tests.images.made import put, saved, scene
from tests.images.test_decode import bomb
from tunesmith.config.experiment import Pictures
from tunesmith.errors import DataError
from tunesmith.images.picture import Picture
from tunesmith.records import image_ingestion
from tunesmith.records.image_ingestion import NO_HASH, ImageIngestor, perceptual_hash
from tunesmith.records.record import Record
from tunesmith.records.sources import BadRow


@pytest.fixture
def take(tmp_path):
    """A call that takes the pictures of values of the field `image`, from the folder `data`."""
    (tmp_path / "data").mkdir()

    def call(*values, threads=2, **given):
        made = ImageIngestor(Pictures(**given), ("image",), tmp_path / "made", threads)
        rows = (Record(f"d.jsonl:{number}", {"image": value}) for number, value in enumerate(values, 1))
        return list(made.resolve(rows, lambda where: tmp_path / "data"))

    return call


def test_a_path_becomes_a_picture_with_all_that_is_known_of_it(take, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    file = put(tmp_path / "data/a/1.jpg", scene(1), exif=exif)
    (row,) = take("a//./1.jpg")
    (picture,) = row.fields.values()
    turned = scene(1).transpose(Image.Transpose.ROTATE_270)
    assert picture == Picture(
        "a/1.jpg", hashlib.sha256(file.read_bytes()).hexdigest(), 64, 96, picture.look, False, orientation=6
    )
    assert picture.file.read_bytes() == file.read_bytes()
    assert imagehash.hex_to_hash(picture.look) - imagehash.phash(turned) <= 2


def test_all_ways_to_tell_of_a_picture_and_lists_of_them(take, tmp_path):
    put(tmp_path / "data/7.png", scene(1))
    content = (tmp_path / "data/7.png").read_bytes()
    values = (7, {"bytes": None, "path": "7"}, {"path": "7"}, {"bytes": content, "path": "x.png"}, content)
    one = [row.fields["image"] for row in take(*values, name="{}.png")]
    assert [picture.stored for picture in one] == [False, False, False, True, True]
    assert len({(picture.sha256, picture.look, picture.width) for picture in one}) == 1
    (row,) = take(list(values[:2]), name="{}.png")
    assert row.fields["image"] == one[:2]
    assert [row.fields["image"] for row in take(None, [])] == [None, []]


def test_all_ways_to_say_that_there_is_no_picture_are_none_and_a_field_may_be_missing(take, tmp_path):
    nothing = (None, "", " ", "None", {"bytes": None, "path": None}, {})
    assert [row.fields["image"] for row in take(*nothing)] == [None] * len(nothing)
    assert [row.fields["image"] for row in take([], [None], [""], "[]")] == [[]] * 4
    ingestor = ImageIngestor(Pictures(), ("image",), tmp_path / "made")
    (row,) = ingestor.resolve(iter([Record("d:1", {"text": "a"})]), lambda where: tmp_path)
    assert row.fields == {"text": "a"}


def test_pictures_inside_objects_are_read_by_dotted_names(tmp_path):
    put(tmp_path / "a.png", scene(1))
    content = saved(scene(2))
    rows = [Record("d:1", {"view": {"left": "a.png", "right": {"bytes": content, "path": None}}, "id": 3})]
    ingestor = ImageIngestor(Pictures(), ("view.left", "view.right"), tmp_path / "made")
    (row,) = ingestor.resolve(iter(rows), lambda where: tmp_path)
    assert row.fields["view.left"].path == "a.png"
    assert row.fields["view.right"].stored


def test_bytes_are_copied_once_under_their_hash(take, tmp_path):
    contents = [saved(scene(number % 3)) for number in range(12)]
    rows = take(*contents)
    files = {row.fields["image"].file for row in rows}
    assert {file.read_bytes() for file in files} == set(contents)
    sha256 = rows[0].fields["image"].sha256
    assert rows[0].fields["image"].path == f"pictures/{sha256[:2]}/{sha256}"
    assert sum(path.is_file() for path in (tmp_path / "made").rglob("*")) == 3


MALFORMED = {
    "empty.jpg": (b"", "is empty: it has no bytes."),
    "text.jpg": (b"<html>Not found</html>", "is text, not a picture (it begins '<html>Not found</html>')."),
    "cut.jpg": (saved(scene(1, 300, 200), "JPEG")[:3000], "is cut off (image file is truncated"),
    "bomb.png": (bomb(30_000, 30_000), "has 30000 x 30000 pixels, more than data.pictures.max_pixels"),
}


@pytest.mark.parametrize("name", MALFORMED)
@pytest.mark.parametrize("as_bytes", [False, True])
def test_each_malformed_file_is_a_bad_row_among_good_ones(take, tmp_path, name, as_bytes):
    content, why = MALFORMED[name]
    put(tmp_path / "data/good.png", scene(1))
    (tmp_path / "data" / name).write_bytes(content)
    first, bad, last = take("good.png", content if as_bytes else name, "good.png")
    assert isinstance(first, Record)
    assert isinstance(last, Record)
    start = f"the picture, given as {len(content)} bytes," if as_bytes else repr(name)
    assert isinstance(bad, BadRow)
    assert bad.where == "d.jsonl:2"
    assert bad.why.startswith(f"field 'image': {start}")
    assert why in bad.why


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("B.JPG", "'B.JPG' does not exist in DATA. Did you mean 'b.jpg'?"),
        ("b.png", "'b.png' does not exist in DATA. Did you mean 'b.jpg'?"),
        ("b", "'b' does not exist in DATA. Did you mean 'b.jpg'?"),
        ("sub/flie9.jpg", "'sub/flie9.jpg' does not exist in DATA. Did you mean 'file9.jpg'?"),
        ("sbu/file9.jpg", "'sbu/file9.jpg' does not exist in DATA. There is no folder DATA/sbu."),
        ("b.jpg/1.jpg", "'b.jpg/1.jpg' does not exist in DATA. There is no folder DATA/b.jpg."),
        ("https://a.org/1.jpg", "Pictures are read from files: load it from the web first."),
        ("sub", "'sub' is a folder, not a picture."),
        ("x" * 300, "is too long for the name of a file."),
        ("a\0b", "is no name of a file."),
        (
            "7",
            "'7' does not exist in DATA. If that is a picture's name without its ending, set data.pictures.name",
        ),
        (1.5, "'1.5' is no picture. Possible are a path, bytes, an object with `bytes` or `path`"),
        (True, "'True' is no picture."),
        ({"url": "x", "id": 3}, "is no picture."),
        (["b.jpg", "c.jpg"], "field 'image', picture 2: 'c.jpg' does not exist"),
        ("../secret.jpg", "'../secret.jpg' leads out of DATA. Set data.pictures.folder to the folder"),
        ("/etc/passwd", "'/etc/passwd' leads out of DATA."),
        ("link.jpg", "'link.jpg' leads out of DATA. .* or data.pictures.outside to true if you trust"),
    ],
)
def test_what_names_no_picture_is_told_with_what_may_be_meant(take, tmp_path, value, why):
    put(tmp_path / "data/b.jpg", scene(1))
    put(tmp_path / "data/sub/file9.jpg", scene(2))
    put(tmp_path / "secret.jpg", scene(3))
    (tmp_path / "data/link.jpg").symlink_to("../secret.jpg")
    (bad,) = take(value)
    assert isinstance(bad, BadRow)
    said = bad.why.replace(str(tmp_path / "data"), "DATA")
    assert all(part in said for part in why.split(" .* "))


def test_outside_of_the_folder_is_allowed_if_asked_for(take, tmp_path):
    put(tmp_path / "secret.jpg", scene(3))
    (tmp_path / "data/link.jpg").symlink_to("../secret.jpg")
    inside = str(put(tmp_path / "data/in.jpg", scene(1)))
    values = ("../secret.jpg", str(tmp_path / "secret.jpg"), "link.jpg", inside)
    pictures = [row.fields["image"] for row in take(*values, outside=True)]
    assert [picture.path for picture in pictures] == [*values[:3], "in.jpg"]
    assert all(picture.file.is_file() for picture in pictures)
    assert take(inside)[0].fields["image"].path == "in.jpg"


def test_hints_end_where_they_would_take_for_ever(take, tmp_path, monkeypatch):
    monkeypatch.setattr(image_ingestion, "_MOST_HINTS", 2)
    put(tmp_path / "data/a.jpg", scene(1))
    assert sum("Did you mean" in row.why for row in take(*["aa.jpg"] * 5)) == 2


def test_rows_keep_their_order_and_bad_ones_pass_through(tmp_path):
    files = [put(tmp_path / f"{number}.png", scene(number, 8 + 90 * (number % 2))) for number in range(60)]
    rows = [Record(file.name, {"image": file.name, "n": 1}) for file in files]
    rows[7] = BadRow("7.png", "is bad.")
    got = list(ImageIngestor(Pictures(), ("image",), tmp_path, 4).resolve(iter(rows), lambda where: tmp_path))
    assert [row.where if isinstance(row, BadRow) else row.id for row in got] == [file.name for file in files]
    assert got[7] == rows[7]
    assert got[8].fields["n"] == 1


@pytest.fixture
def opened(monkeypatch):
    """What was opened, and in which threads."""
    calls = []
    plain = image_ingestion.decode

    def noted(picture, max_pixels):
        calls.append((picture, threading.current_thread().name))
        time.sleep(0.1)
        return plain(picture, max_pixels)

    monkeypatch.setattr(image_ingestion, "decode", noted)
    return calls


def test_a_picture_that_many_records_name_is_read_once_and_again_when_it_changes(take, tmp_path, opened):
    put(tmp_path / "data/a.png", scene(1))
    put(tmp_path / "data/b.png", scene(2))
    rows = take(*["a.png", "b.png"] * 50, saved(scene(3)), saved(scene(3)), threads=4)
    assert len(opened) == 3
    assert len({row.fields["image"] for row in rows}) == 3
    assert len({thread for _, thread in opened}) > 1
    known = ImageIngestor(Pictures(), ("image",), tmp_path, 1)
    for change in (1, 2, 2):
        os.utime(tmp_path / "data/a.png", ns=(change, change))
        list(known.resolve([Record("d:1", {"image": "data/a.png"})], lambda where: tmp_path))
    assert len(opened) == 5


@pytest.mark.slow
def test_what_is_remembered_has_a_bound_and_what_was_forgotten_is_read_again(
    take, tmp_path, opened, monkeypatch
):
    monkeypatch.setattr(image_ingestion, "_MOST_CACHED", 4)
    names = [put(tmp_path / f"data/{number}.png", scene(number)).name for number in range(20)]
    rows = take(*names, names[0], names[19], threads=1)
    assert rows[-2].fields == rows[0].fields
    assert len(opened) == 21


def test_reading_ahead_has_a_bound_in_rows_and_in_bytes(tmp_path, monkeypatch):
    content = saved(scene(1))
    asked = 0

    def rows():
        nonlocal asked
        for asked in range(1, 1001):
            yield Record(f"d:{asked}", {"image": content})

    next(ImageIngestor(Pictures(), ("image",), tmp_path, 2).resolve(rows(), lambda where: tmp_path))
    assert asked <= 2 * image_ingestion._ROWS_PER_THREAD + 1
    monkeypatch.setattr(image_ingestion, "_BYTES_IN_FLIGHT", 3 * len(content))
    next(ImageIngestor(Pictures(), ("image",), tmp_path, 2).resolve(rows(), lambda where: tmp_path))
    assert asked <= 4


def test_memory_is_flat_in_the_number_of_pictures(tmp_path):
    contents = [saved(scene(number)) for number in range(8)]

    def peak(count):
        rows = (Record(f"d:{at}", {"image": contents[at % 8] + bytes(at.to_bytes(2))}) for at in range(count))
        tracemalloc.start()
        for _ in ImageIngestor(Pictures(), ("image",), tmp_path, 2).resolve(rows, lambda where: tmp_path):
            pass
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(20)
    # How far threads are ahead at once is theirs; the least of a few tries is the same for all.
    few, many = (min(peak(count) for _ in range(4)) for count in (30, 100))
    assert many < few + 70 * 1000


def test_an_error_of_the_source_ends_the_threads(tmp_path):
    def rows():
        yield Record("d:1", {"image": saved(scene(1))})
        raise DataError("d: is cut off.")

    with pytest.raises(DataError, match=r"d: is cut off"):
        list(ImageIngestor(Pictures(), ("image",), tmp_path, 2).resolve(rows(), lambda where: tmp_path))
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("pictures")]


@pytest.mark.parametrize(("module", "package"), [("PIL", "pillow"), ("imagehash", "imagehash")])
def test_a_missing_library_is_told_once_not_for_every_row(take, monkeypatch, module, package):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(DataError, match=rf"{package}, which is not installed.*tunesmith\[vision\]"):
        take("a.jpg", "b.jpg")


def test_versions_of_a_picture_have_looks_of_few_different_bits_and_others_of_many():
    image = scene(1, 640, 480)

    def read(content):
        from tunesmith.images.decode import decode_rgb

        return int(perceptual_hash(decode_rgb(content)), 16)

    first = read(saved(image))
    versions = [
        saved(image.resize((200, 150))),
        saved(image, "JPEG", quality=40),
        saved(image.resize((1000, 750)), "WEBP", quality=60),
        saved(image.convert("P", palette=Image.Palette.ADAPTIVE)),
    ]
    assert [(first ^ read(version)).bit_count() <= 4 for version in versions] == [True] * 4
    assert all((first ^ read(saved(scene(number)))).bit_count() > 10 for number in range(2, 12))
    assert perceptual_hash(image) == str(imagehash.phash(image))


def test_a_picture_of_one_colour_has_no_look_not_even_with_noise():
    assert perceptual_hash(Image.new("RGB", (64, 64), "navy")) == NO_HASH
    noisy = Image.effect_noise((600, 600), 3)
    assert perceptual_hash(noisy.convert("RGB")) == NO_HASH


def test_a_field_that_holds_no_pictures_is_told_once_a_row_what_to_do(take):
    (bad,) = take([3, 4, 120, 80])
    assert bad.why.count("does not exist") == 4
    assert bad.why.count("name another field in the task.") == 1
    (bad,) = take("4.png")
    assert "another field" not in bad.why


def test_the_folder_of_the_experiment_file_is_named_in_words(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = ImageIngestor(Pictures(), ("image",), tmp_path / "made", 1)
    rows = [Record("d.jsonl:1", {"image": "a.png"}), Record("d.jsonl:2", {"image": "../a.png"})]
    missing, outside = made.resolve(rows, lambda where: Path())
    assert missing.why == "field 'image': 'a.png' does not exist in the current folder."
    assert "leads out of the current folder. Set" in outside.why


def test_pictures_that_stand_in_the_text_are_decoded_and_faults_in_them_are_short(tmp_path):
    content = saved(scene(4))
    put(tmp_path / "a b.png", scene(5))
    encoded = base64.b64encode(content).decode()
    values = [
        f"data:image/png;base64,{encoded}",
        encoded,
        {"bytes": encoded},
        f"data:image/png,{quote(content)}",
        f"file://{tmp_path}/a%20b.png",
        "data:image/png;base64,*" + encoded,
        "data:image/png;base64," + encoded[:400],
    ]
    rows = [Record(f"d:{number}", {"image": value}) for number, value in enumerate(values)]
    taking = ImageIngestor(Pictures(), ("image",), tmp_path / "made", num_threads=1)
    found = list(taking.resolve(iter(rows), lambda where: tmp_path))
    sha256 = hashlib.sha256(content).hexdigest()
    assert [row.fields["image"].sha256 for row in found[:4]] == [sha256] * 4
    assert found[4].fields["image"].path == "a b.png"
    assert "is no base64" in found[5].why
    assert "is cut off" in found[6].why or "is a broken picture" in found[6].why
    assert all(len(row.why) < 300 for row in found[5:])
