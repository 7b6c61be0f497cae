"""Qwen3-VL: boxes as JSON, in thousandths of the picture's width and height again."""

from __future__ import annotations

from tunesmith.images.picture import Picture
from tunesmith.model.families._seeing import Seeing
from tunesmith.model.families.qwen3 import Qwen3


class Qwen3Vl(Seeing, Qwen3):
    """What its tower sees half-way is added to the first layers of the language model. Some models of it
    think."""

    def _space(self, picture: Picture) -> tuple[int, int]:
        return 1000, 1000
