from __future__ import annotations

import base64
import io
import re
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from tests.report.run_folder_maker import make_pictured
from tunesmith.report.examples import Example, Group, example_groups
from tunesmith.report.page import write_report
from tunesmith.report.pictures import LONGEST_SIDE, Album, Thumbnail, View, Views, boxes_said, views_of
from tunesmith.report.run_folder import read_run_folder


@pytest.fixture(scope="module")
def located(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_pictured(tmp_path_factory.mktemp("located"), boxes=True)


@pytest.fixture(scope="module")
def groups(located: Path) -> list[Group]:
    return example_groups(read_run_folder(located))


def seen(example: Example, album: Album | None = None) -> Views:
    group = Group("", "", 1, (example,))
    return views_of([group], album or Album())[example.row.record]


def of_one(example: Example, **changes: object) -> View:
    """The tuned model's view of an example that is otherwise."""
    return seen(replace(example, tuned=replace(example.tuned, **changes))).views[-1]


def test_a_thumbnail_is_the_picture_made_small_and_stands_in_the_page_itself(tmp_path: Path) -> None:
    colours = Image.new("RGB", (900, 600), (200, 30, 60))
    colours.save(tmp_path / "red.png")
    thumbnail = Album().take(str(tmp_path / "red.png"))
    assert isinstance(thumbnail, Thumbnail)
    kind, _, data = thumbnail.uri.partition(",")
    small = Image.open(io.BytesIO(base64.b64decode(data)))
    assert (kind, small.format) == ("data:image/jpeg;base64", "JPEG")
    assert small.size == (thumbnail.width, thumbnail.height) == (LONGEST_SIDE, 213)
    assert small.getpixel((100, 100)) == pytest.approx((200, 30, 60), abs=4)


def test_a_picture_that_lies_on_its_side_is_shown_upright(tmp_path: Path) -> None:
    turned = Image.new("RGB", (200, 100))
    exif = turned.getexif()
    exif[0x0112] = 6
    turned.save(tmp_path / "turned.jpg", exif=exif)
    thumbnail = Album().take(str(tmp_path / "turned.jpg"))
    assert isinstance(thumbnail, Thumbnail)
    assert (thumbnail.width, thumbnail.height) == (100, 200)


def test_true_and_said_boxes_lie_where_their_corners_say(groups: list[Group]) -> None:
    example = groups[0].shown[0]
    base, tuned = seen(example).views
    for view, row in ((base, example.base), (tuned, example.tuned)):
        assert row is not None
        assert view.thumbnail is not None
        size = (view.thumbnail.width, view.thumbnail.height) * 2
        corners = {box.kind: (box.x, box.y, box.x + box.width, box.y + box.height) for box in view.boxes}
        for kind, box in (("true", row.boxes[0]), ("said", row.reading[0])):
            expected = [min(one, 1) * side for one, side in zip(box["corners"], size, strict=True)]
            assert corners[kind] == pytest.approx(expected, abs=0.11)
    assert tuned.title == f"Tuned: 1 box said, IoU {example.tuned.marks['iou']:.2f}"
    assert tuned.says == f"{tuned.title}; 1 box true. Picture of {example.row.record}"


def test_a_box_that_reaches_out_of_the_picture_ends_at_its_edge(groups: list[Group]) -> None:
    view = of_one(groups[0].shown[0], reading=[{"label": "table", "corners": [-0.5, 0.5, 1.5, 0.25]}])
    [box] = [box for box in view.boxes if box.kind == "said"]
    assert view.thumbnail is not None
    assert (box.x, box.width, box.height) == (0, view.thumbnail.width, 0)


def test_labels_are_written_only_where_there_are_several(groups: list[Group]) -> None:
    example = groups[0].shown[0]
    assert not of_one(example).are_labelled
    assert of_one(example, reading=[{"label": "chair", "corners": [0, 0, 1, 1]}]).are_labelled


@pytest.mark.parametrize(
    ("changes", "title"),
    [
        ({"reading": None, "unread": "names no box"}, "Tuned: unread"),
        ({"reading": [], "marks": {"iou": 0.0}}, "Tuned: 0 boxes said, IoU 0.00"),
        ({"marks": {"iou": None}}, "Tuned: 1 box said"),
    ],
)
def test_what_was_said_stands_under_the_picture(
    groups: list[Group], changes: dict[str, object], title: str
) -> None:
    assert of_one(groups[0].shown[0], **changes).title == title


@pytest.mark.parametrize(
    "reading", [None, "table", ["table"], [{"corners": [0, 1]}], {"corners": [0, 0, 1, 1]}]
)
def test_a_reading_that_is_no_boxes_is_none(groups: list[Group], reading: object) -> None:
    assert boxes_said(replace(groups[0].shown[0].tuned, reading=reading)) == []


def test_a_picture_that_is_gone_or_broken_is_said_with_its_name(groups: list[Group], tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("not a picture")
    gone, broken = str(tmp_path / "gone.jpg"), str(tmp_path / "text.jpg")
    example = groups[0].shown[0]
    assert of_one(example, pictures=(gone,)).why == f"{gone} does not exist."
    assert of_one(example, pictures=(broken,)).why.startswith(f"{broken} is text, not a picture")


def test_the_page_holds_no_more_pictures_than_it_should(tmp_path: Path) -> None:
    files = [tmp_path / f"{index}.png" for index in range(3)]
    for file in files:
        Image.new("RGB", (8, 8)).save(file)
    album = Album(most=2)
    taken = [album.take(str(file)) for file in (*files, files[0])]
    assert [isinstance(one, Thumbnail) for one in taken] == [True, True, False, True]
    assert taken[2] == f"{files[2]} is not shown: the page has its 2 pictures."
    assert album.thumbnails == taken[:2]


def test_of_many_pictures_of_one_record_the_first_are_shown_and_the_others_counted(
    groups: list[Group],
) -> None:
    row = replace(groups[0].shown[0].tuned, boxes=(), reading="a", marks={"correct": 1.0})
    views = seen(Example(None, replace(row, pictures=row.pictures * 6)))
    assert (len(views.views), views.left_out, views.have_boxes) == (4, 2, False)


def test_a_picture_is_in_the_page_once_however_often_it_is_shown(located: Path) -> None:
    page = write_report(located).read_text()
    ids = re.findall(r'<image id="(picture-\d+)"', page)
    uses = re.findall(r'<use href="#(picture-\d+)"', page)
    assert len(ids) == len(set(ids)) == page.count("data:image/jpeg")
    assert set(uses) == set(ids)
    assert len(uses) >= 2 * len(ids)
    assert "box that the model said" in page


def test_without_pillow_the_page_is_written_and_says_what_to_install(
    located: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    page = write_report(located).read_text()
    assert (
        "Pillow is not installed; run `pip install &#39;tunesmith[vision]&#39;` and `tunesmith report`."
        in page
    )
    assert "data:image" not in page
    assert "photos.jsonl:1" in page
