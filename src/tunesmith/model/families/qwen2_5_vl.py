"""Qwen2.5-VL: boxes as JSON, in pixels of the picture as the model sees it."""

from __future__ import annotations

from typing import ClassVar

from tunesmith.images.picture import Picture
from tunesmith.model.families._layer_specs import decoder_layer, vision_block
from tunesmith.model.families._vision_language import VisionLanguage


class Qwen25Vl(VisionLanguage):
    """Most layers of its tower attend within windows."""

    layer_classes: ClassVar = {"Qwen2_5_VLDecoderLayer": decoder_layer, "Qwen2_5_VLVisionBlock": vision_block}
    norm_classes: ClassVar = {"Qwen2_5_VLRMSNorm": 0.0}

    def _space(self, picture: Picture) -> tuple[int, int]:
        placed = self._images.place("boxes", picture, 0)
        return placed.width, placed.height
