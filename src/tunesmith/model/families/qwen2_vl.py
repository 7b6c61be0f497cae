"""Qwen2-VL: boxes as special tokens, in thousandths of the picture's width and height."""

from __future__ import annotations

from typing import ClassVar

from tunesmith.images.boxes import BoxForm
from tunesmith.images.picture import Picture
from tunesmith.model.families._layer_specs import decoder_layer, vision_block
from tunesmith.model.families._vision_language import VisionLanguage


class Qwen2Vl(VisionLanguage):
    """Every picture is attended to as a whole."""

    form: ClassVar[BoxForm] = "tokens"
    layer_classes: ClassVar = {"Qwen2VLDecoderLayer": decoder_layer, "Qwen2VLVisionBlock": vision_block}
    norm_classes: ClassVar = {"Qwen2VLRMSNorm": 0.0}

    def _space(self, picture: Picture) -> tuple[int, int]:
        return 1000, 1000
