"""Qwen3-VL: boxes as JSON, in thousandths of the picture's width and height again."""

from __future__ import annotations

from typing import ClassVar

from tunesmith.images.picture import Picture
from tunesmith.model.families._layer_specs import decoder_layer, vision_block
from tunesmith.model.families._vision_language import VisionLanguage
from tunesmith.model.families.qwen3 import Qwen3


class Qwen3Vl(VisionLanguage, Qwen3):
    """The tower's intermediate outputs are added to the first language layers; some models think."""

    layer_classes: ClassVar = {"Qwen3VLTextDecoderLayer": decoder_layer, "Qwen3VLVisionBlock": vision_block}
    norm_classes: ClassVar = {"Qwen3VLTextRMSNorm": 0.0}

    def _space(self, picture: Picture) -> tuple[int, int]:
        return 1000, 1000
