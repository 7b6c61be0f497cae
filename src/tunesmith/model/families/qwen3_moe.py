"""Qwen3-MoE: mixtures of experts that read and write as Qwen3 does, thinking included."""

from __future__ import annotations

from typing import ClassVar

from tunesmith.model.families._layer_specs import decoder_layer
from tunesmith.model.families.qwen3 import Qwen3


class Qwen3Moe(Qwen3):
    """Qwen3 with experts; each config is tried when it is loaded."""

    is_verified: ClassVar[bool] = False
    layer_classes: ClassVar = {"Qwen3MoeDecoderLayer": decoder_layer}
    norm_classes: ClassVar = {"Qwen3MoeRMSNorm": 0.0}
