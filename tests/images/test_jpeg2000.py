from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from tests.images.made import saved, scene
from tunesmith.images.decode import decode
from tunesmith.images.jpeg2000 import metadata

EXIF = b"JpgTiffExif->JP2"
PHOTOSHOP = bytes.fromhex("0537cdab9d0c4431a72afa561f2a113e")
XMP = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")


def with_box(content: bytes, uuid: bytes, inside: bytes, is_long: bool = False) -> bytes:
    """The file with a box of this UUID before its picture."""
    size = 24 + len(inside) + 8 * is_long
    head = (1).to_bytes(4, "big") if is_long else size.to_bytes(4, "big")
    box = head + b"uuid" + (size.to_bytes(8, "big") if is_long else b"") + uuid + inside
    place = content.index(b"jp2c") - 4
    return content[:place] + box + content[place:]


def block(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif.tobytes().removeprefix(b"Exif\0\0")


@pytest.mark.parametrize("uuid", [EXIF, PHOTOSHOP])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_jpeg_2000_file_is_turned_like_a_png_with_the_same_orientation(
    uuid: bytes, orientation: int
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    expected = decode(saved(scene(1), "PNG", exif=exif))
    content = saved(scene(1), "JPEG2000")
    for inside in (block(orientation), b"Exif\0\0" + block(orientation)):
        got = decode(with_box(content, uuid, inside, is_long=orientation % 2 == 0))
        assert got.orientation == orientation
        assert np.abs(np.asarray(got.image).astype(int) - np.asarray(expected.image)).max() <= 1


def test_orientation_in_xmp_counts_and_damaged_boxes_are_passed_over() -> None:
    content = saved(scene(1), "JPEG2000")
    packet = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf tiff:Orientation="6"/></x:xmpmeta>'
    assert decode(with_box(content, XMP, packet)).orientation == 6
    assert decode(with_box(content, EXIF, b"II*\0 broken")).orientation == 1
    assert metadata(b"\0\0\0\1jP  ") == (None, None)
    assert metadata(with_box(content, b"x" * 16, b"other")) == (None, None)
