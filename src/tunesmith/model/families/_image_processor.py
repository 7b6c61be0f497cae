"""The image processor settings of a model, and what the experiment changes of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tunesmith.batching.example import Placed
from tunesmith.config.experiment import Pixels
from tunesmith.errors import DataError, ModelError
from tunesmith.images.picture import Picture
from tunesmith.images.resize import pixel_limits, target_size

DEFAULTS = {"patch_size": 14, "merge_size": 2, "min_pixels": 56 * 56, "max_pixels": 28 * 28 * 1280}
"""The values that transformers uses for settings missing in the file."""


@dataclass(frozen=True)
class ImageProcessorConfig:
    """Sizes and colour statistics with which pictures are cut into patches."""

    pixels: Pixels
    """The setting `model.pixels` of the experiment."""
    file: Mapping[str, Any]
    """The model's `preprocessor_config.json`."""

    @staticmethod
    def from_file(pixels: Pixels, file: Mapping[str, Any]) -> ImageProcessorConfig:
        """The settings of a model with this `preprocessor_config.json`; ModelError if it is incomplete or unsound."""
        lacking = [name for name in ("image_mean", "image_std") if name not in file]
        if lacking:
            raise ModelError(
                f"model.path: preprocessor_config.json of the model does not say {', '.join(lacking)}. Give a "
                "model folder with the file that belongs to it"
            )
        config = ImageProcessorConfig(pixels, file)
        try:
            sizes = (config.patch_size, config.merge_size, config._smallest, config._largest)
            is_sound = min(sizes) > 0 and len(config.mean) == len(config.std) == 3 and all(config.std)
        except (TypeError, ValueError, OverflowError, AttributeError):
            is_sound = False
        if not is_sound:
            names = (*DEFAULTS, "size", "image_mean", "image_std")
            stated = {name: file[name] for name in names if name in file}
            raise ModelError(
                "model.path: preprocessor_config.json of the model has sizes or colours that cannot be "
                f"({stated!r:.300}). Give a model folder with the file that belongs to it"
            )
        return config

    @property
    def patch_size(self) -> int:
        """Side of a patch in pixels."""
        return int(self.file.get("patch_size", DEFAULTS["patch_size"]))

    @property
    def merge_size(self) -> int:
        """Side of a token in patches."""
        return int(self.file.get("merge_size", DEFAULTS["merge_size"]))

    @property
    def mean(self) -> tuple[float, ...]:
        """Mean of red, green and blue (0 to 1), which is subtracted."""
        return tuple(map(float, self.file["image_mean"]))

    @property
    def std(self) -> tuple[float, ...]:
        """Standard deviation of red, green and blue, by which they are divided."""
        return tuple(map(float, self.file["image_std"]))

    @property
    def limits(self) -> tuple[int, int]:
        """Fewest and most pixels of a resized picture."""
        return pixel_limits(self.pixels, self._smallest, self._largest)

    @property
    def trained_file(self) -> dict[str, Any]:
        """The model's `preprocessor_config.json` with the pixel limits of training.

        The file cannot express a longest side or a fixed size; these become the nearest limits."""
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
        """What other programs must do to pictures before the image processor; empty if nothing."""
        if self.pixels.size is not None:
            width, height = self.pixels.size
            return f"resize every picture to {width} x {height} pixels (model.pixels.size)"
        if self.pixels.longest_side is not None:
            side = self.pixels.longest_side
            return f"shrink every picture to a longest side of {side:,} pixels (model.pixels.longest_side)"
        return ""

    def place(self, record: str, picture: Picture, start: int) -> Placed:
        """The picture resized, at token `start`; DataError if its shape is not supported."""
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

    def _limit(self, name: str, edge: str) -> int:
        sizes = self.file.get("size") or {}
        return int(self.file.get(name) or sizes.get(edge) or DEFAULTS[name])
