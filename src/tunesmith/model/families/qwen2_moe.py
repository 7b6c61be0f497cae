"""Qwen1.5-MoE and Qwen2-MoE: mixtures of experts that read and write as Qwen2 does."""

from __future__ import annotations

from typing import ClassVar

from tunesmith.model.families._layer_specs import decoder_layer
from tunesmith.model.families.qwen2 import Qwen2


class Qwen2Moe(Qwen2):
    """Qwen2 with experts; each config is tried when it is loaded."""

    is_verified: ClassVar[bool] = False
    layer_classes: ClassVar = {"Qwen2MoeDecoderLayer": decoder_layer}
    norm_classes: ClassVar = {"Qwen2MoeRMSNorm": 0.0}
