"""EXIF and XMP in the boxes of a JPEG 2000 file (ISO/IEC 15444-1, annex I), which Pillow does not read."""

from __future__ import annotations

from collections.abc import Iterator

_EXIF = (b"JpgTiffExif->JP2", bytes.fromhex("0537cdab9d0c4431a72afa561f2a113e"))
"""UUIDs of boxes with EXIF: the one of ExifTool, Exiv2 and GDAL, and the one of Photoshop."""
_XMP = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")


def metadata(content: bytes) -> tuple[bytes | None, bytes | None]:
    """The EXIF block (TIFF) and the XMP packet of a JPEG 2000 file, each None if it has none."""
    exif = xmp = None
    for kind, start, end in _boxes(content):
        uuid, inside = content[start : start + 16], content[start + 16 : end]
        if kind == b"uuid" and uuid in _EXIF:
            exif = inside.removeprefix(b"Exif\0\0")
        elif kind == b"uuid" and uuid == _XMP:
            xmp = inside
    return exif, xmp


def _boxes(content: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Type of each outermost box, and where its content starts and ends."""
    place = 0
    while place + 8 <= len(content):
        size, kind, header = (
            int.from_bytes(content[place : place + 4], "big"),
            content[place + 4 : place + 8],
            8,
        )
        if size == 1:
            size, header = int.from_bytes(content[place + 8 : place + 16], "big"), 16
        elif size == 0:
            size = len(content) - place
        if size < header:
            return
        yield kind, place + header, min(place + size, len(content))
        place += size
