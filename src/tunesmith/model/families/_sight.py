"""How a model's own files say that pictures are to be cut up, and what an experiment changes of that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tunesmith.batching.example import Placed
from tunesmith.config.experiment import Pixels
from tunesmith.errors import DataError, ModelError
from tunesmith.images.picture import Picture
from tunesmith.images.resize import pixel_limits, target_size

OF_QWEN2_VL = {"patch_size": 14, "merge_size": 2, "min_pixels": 56 * 56, "max_pixels": 28 * 28 * 1280}
"""What transformers takes for what a file does not say."""


@dataclass(frozen=True)
class Sight:
    """The sizes and colours in which a model sees pictures."""

    pixels: Pixels
    """What the experiment says."""
    file: Mapping[str, Any]
    """The model's `preprocessor_config.json`."""

    @staticmethod
    def of(pixels: Pixels, file: Mapping[str, Any]) -> Sight:
        """The sight of a model with such a file; ModelError if it lacks what must be there."""
        lacking = [name for name in ("image_mean", "image_std") if name not in file]
        if lacking:
            raise ModelError(
                f"model.path: preprocessor_config.json of the model does not say {', '.join(lacking)}. Give a "
                "model folder with the file that belongs to it"
            )
        sight = Sight(pixels, file)
        try:
            sizes = (sight.patch_size, sight.merge_size, sight._smallest, sight._largest)
            is_sound = (
                min(sizes) > 0 and len(sight.mean) == len(sight.deviation) == 3 and all(sight.deviation)
            )
        except (TypeError, ValueError, OverflowError, AttributeError):
            is_sound = False
        if not is_sound:
            names = (*OF_QWEN2_VL, "size", "image_mean", "image_std")
            stated = {name: file[name] for name in names if name in file}
            raise ModelError(
                "model.path: preprocessor_config.json of the model has sizes or colours that cannot be "
                f"({stated!r:.300}). Give a model folder with the file that belongs to it"
            )
        return sight

    @property
    def patch_size(self) -> int:
        """Side of a patch in pixels."""
        return int(self.file.get("patch_size", OF_QWEN2_VL["patch_size"]))

    @property
    def merge_size(self) -> int:
        """Side of a token in patches."""
        return int(self.file.get("merge_size", OF_QWEN2_VL["merge_size"]))

    @property
    def mean(self) -> tuple[float, ...]:
        """Of red, green and blue (0 to 1), taken away."""
        return tuple(map(float, self.file["image_mean"]))

    @property
    def deviation(self) -> tuple[float, ...]:
        """Of red, green and blue, divided by."""
        return tuple(map(float, self.file["image_std"]))

    @property
    def limits(self) -> tuple[int, int]:
        """Fewest and most pixels of a picture as the model sees it."""
        return pixel_limits(self.pixels, self._smallest, self._largest)

    @property
    def trained_file(self) -> dict[str, Any]:
        """The model's `preprocessor_config.json` with the pixels of training. A longest side or a size, which the file
        has no words for, becomes the limits that come nearest."""
        least, most = self.limits
        if self.pixels.size is not None:
            least = most = self.pixels.size[0] * self.pixels.size[1]
        elif self.pixels.longest_side is not None:
            most = min(most, self.pixels.longest_side**2)
            least = min(least, most)
        sizes = {"shortest_edge": least, "longest_edge": most}
        return {**self.file, "min_pixels": least, "max_pixels": most, "size": sizes}

    @property
    def not_in_file(self) -> str:
        """What another program must do to pictures before it hands them to the model; empty if nothing."""
        if self.pixels.size is not None:
            width, height = self.pixels.size
            return f"resize every picture to {width} x {height} pixels (model.pixels.size)"
        if self.pixels.longest_side is not None:
            side = self.pixels.longest_side
            return f"shrink every picture to a longest side of {side:,} pixels (model.pixels.longest_side)"
        return ""

    def place(self, record: str, picture: Picture, start: int) -> Placed:
        """The picture among tokens, from `start` on; DataError if it is of a shape that no model of the family
        takes."""
        try:
            rows, columns = target_size(
                picture.width,
                picture.height,
                self.pixels,
                self.patch_size * self.merge_size,
                self._smallest,
                self._largest,
            )
        except ValueError as error:
            raise DataError(f"{record}: picture {picture.path}: {error}") from error
        return Placed(picture, start, rows, columns, self.patch_size, self.merge_size)

    @property
    def _smallest(self) -> int:
        """Fewest pixels."""
        return self._limit("min_pixels", "shortest_edge")

    @property
    def _largest(self) -> int:
        """Most pixels."""
        return self._limit("max_pixels", "longest_edge")

    def _limit(self, name: str, of_size: str) -> int:
        sizes = self.file.get("size") or {}
        return int(self.file.get(name) or sizes.get(of_size) or OF_QWEN2_VL[name])
