"""A picture of a record: its file and what is known of it; its pixels are read when a batch needs them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_KEYS = {"picture", "sha256", "width", "height", "look", "stored"}
_ORIENTATION = "orientation"
_SWAPS_SIDES = 5
"""From this EXIF orientation on, width and height are swapped when the picture is turned."""


@dataclass(frozen=True)
class Picture:
    """One picture of a record. Made when data is prepared, after the file was read to its end once."""

    path: str
    """Of its file, relative to `root` or absolute."""
    sha256: str
    """Hash of the file's bytes."""
    width: int
    """Pixels, of the picture as it is looked at (turned as its EXIF orientation says)."""
    height: int
    """Pixels, likewise."""
    look: str
    """Perceptual hash: 16 hexadecimal digits, of which few differ between versions of one picture."""
    stored: bool = False
    """True if the file is a copy in the prepared folder, of a picture that came as bytes."""
    root: Path = field(default=Path(), compare=False)
    """What `path` is relative to: the prepared folder, or the folder that the data's pictures are in."""
    orientation: int = 1
    """EXIF orientation of the file, 1 to 8; 1 is upright."""

    @property
    def stored_size(self) -> tuple[int, int]:
        """Width and height in pixels as they are in the file, before it is turned."""
        swaps = self.orientation >= _SWAPS_SIDES
        return (self.height, self.width) if swaps else (self.width, self.height)

    @property
    def file(self) -> Path:
        """Where its bytes are."""
        return self.root / self.path

    def to_json(self) -> dict[str, Any]:
        """The picture as JSON in a stored record, without `root`."""
        turned = {} if self.orientation == 1 else {_ORIENTATION: self.orientation}
        return {
            "picture": self.path,
            "sha256": self.sha256,
            "width": self.width,
            "height": self.height,
            "look": self.look,
            "stored": self.stored,
            **turned,
        }

    @staticmethod
    def is_json(value: Mapping[str, Any]) -> bool:
        """True for what `to_json` returns."""
        return value.keys() - {_ORIENTATION} == _KEYS

    @staticmethod
    def from_json(value: Mapping[str, Any], stored: Path, root: Path) -> Picture:
        """The picture of a stored record; copies are in the folder `stored`, all others in `root`."""
        named = {name: value[name] for name in ("sha256", "width", "height", "look", "stored")}
        return Picture(
            value["picture"],
            **named,
            root=stored if value["stored"] else root,
            orientation=value.get(_ORIENTATION, 1),
        )


def pictures_in(fields: Mapping[str, Any]) -> Iterator[Picture]:
    """All pictures of a record's fields, in the order of the fields."""
    for value in fields.values():
        for member in value if isinstance(value, list) else [value]:
            if isinstance(member, Picture):
                yield member


def as_json(value: Any) -> Any:
    """The JSON form of a picture, as the `default` of `json.dumps`; TypeError for any other value."""
    if isinstance(value, Picture):
        return value.to_json()
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")
