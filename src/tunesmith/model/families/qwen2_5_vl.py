"""Qwen2.5-VL: boxes as JSON, in pixels of the picture as the model sees it."""

from __future__ import annotations

from tunesmith.images.picture import Picture
from tunesmith.model.families._seeing import Seeing


class Qwen25Vl(Seeing):
    """Most layers of its tower attend within windows."""

    def _space(self, picture: Picture) -> tuple[int, int]:
        placed = self._seen.place("boxes", picture, 0)
        return placed.width, placed.height
