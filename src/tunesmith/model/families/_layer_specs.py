"""Descriptions of the layers that several families share, by the names that transformers gives their modules."""

from __future__ import annotations

from typing import Any

from tunesmith.kernels.fusion.layer_spec import AttentionSpec, LayerSpec, MlpSpec, NormSpec, RotarySpec


def norm_of(norm: Any, weight_offset: float = 0.0) -> NormSpec:
    """An RMS norm, or a PyTorch layer norm if it has a bias."""
    parameters = dict(norm.named_parameters())
    eps = norm.variance_epsilon if hasattr(norm, "variance_epsilon") else norm.eps
    return NormSpec(norm, eps, weight_offset, "layer" if "bias" in parameters else "rms")


def decoder_layer(layer: Any) -> LayerSpec:
    """A layer of the Llama kind: norms before attention and before the MLP, rotary positions over whole heads."""
    return LayerSpec(
        _attention(layer), _gated_mlp(layer.mlp, layer.post_attention_layernorm, layer.self_attn.config)
    )


def _attention(layer: Any) -> AttentionSpec:
    attention = layer.self_attn
    config, head_dim = attention.config, attention.head_dim
    projections = attention.q_proj, attention.k_proj, attention.v_proj
    rotary = config.rope_parameters or {}
    has_head_norms = hasattr(attention, "q_norm")
    return AttentionSpec(
        module=attention,
        norm=norm_of(layer.input_layernorm),
        projections=projections,
        output=attention.o_proj,
        num_heads=attention.q_proj.out_features // head_dim,
        num_kv_heads=attention.k_proj.out_features // head_dim,
        head_dim=head_dim,
        scaling=attention.scaling,
        rotary=RotarySpec(
            int(head_dim * rotary.get("partial_rotary_factor", 1.0)),
            sections=tuple(rotary.get("mrope_section") or ()),
            interleaved_sections=bool(rotary.get("mrope_interleaved")),
        ),
        head_norms=(norm_of(attention.q_norm), norm_of(attention.k_norm)) if has_head_norms else None,
        # Some architectures read the window from the config in every layer.
        window=getattr(attention, "sliding_window", getattr(config, "sliding_window", None)),
        dropout=attention.attention_dropout,
    )


def _gated_mlp(mlp: Any, norm: Any, config: Any) -> MlpSpec | None:
    """The gated MLP; None for a mixture of experts in its place."""
    if not hasattr(mlp, "gate_proj"):
        return None
    return MlpSpec(mlp, norm_of(norm), (mlp.gate_proj, mlp.up_proj), mlp.down_proj, config.hidden_act)


def vision_block(block: Any) -> LayerSpec:
    """A block of a vision tower: attention within a picture or window, then an MLP."""
    attention, mlp = block.attn, block.mlp
    config = attention.config
    described = AttentionSpec(
        module=attention,
        norm=norm_of(block.norm1),
        projections=(attention.qkv,),
        output=attention.proj,
        num_heads=attention.num_heads,
        num_kv_heads=attention.num_heads,
        head_dim=attention.head_dim,
        scaling=attention.scaling,
        rotary=RotarySpec(attention.head_dim),
        is_causal=False,
        dropout=attention.attention_dropout,
    )
    return LayerSpec(described, _gated_mlp(mlp, block.norm2, config))
