"""Mistral, with or without a sliding window: prompted through the tokenizer's own chat template."""

from __future__ import annotations

from typing import ClassVar

from tunesmith.model.families._layer_specs import decoder_layer
from tunesmith.model.families.generic import Generic


class Mistral(Generic):
    """Generic, with layers that can be fused."""

    layer_classes: ClassVar = {"MistralDecoderLayer": decoder_layer}
    norm_classes: ClassVar = {"MistralRMSNorm": 0.0}
