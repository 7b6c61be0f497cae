"""Qwen2-VL: boxes as special tokens, in thousandths of the picture's width and height."""

from __future__ import annotations

from typing import ClassVar

from tunesmith.images.boxes import BoxForm
from tunesmith.images.picture import Picture
from tunesmith.model.families._seeing import Seeing


class Qwen2Vl(Seeing):
    """Every picture is attended to as a whole."""

    form: ClassVar[BoxForm] = "tokens"

    def _space(self, picture: Picture) -> tuple[int, int]:
        return 1000, 1000
