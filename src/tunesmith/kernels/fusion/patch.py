"""Which of a model's layers are replaced by fused layers, and how a layer's call becomes theirs.

A replaced layer falls back to its own forward pass whenever it is called in a way that fused layers do not support:
with a cache, without a packed batch, or with its adapter switched off.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS, PreTrainedModel

from tunesmith.kernels.attention import short
from tunesmith.kernels.attention.packed import short_line
from tunesmith.kernels.fusion.cuda_graphs import AttentionBlocks, GraphedLayers, LayerRun
from tunesmith.kernels.fusion.fused_layers import (
    AttentionOutput,
    GatedMlp,
    QkvProjection,
    RmsNorm,
    TransformerBlock,
    apply_linear,
)
from tunesmith.kernels.fusion.fused_linear import FusedLinear, fuse_linears
from tunesmith.kernels.fusion.layer_spec import Architecture, AttentionSpec, MlpSpec, NormSpec
from tunesmith.kernels.fusion.lora_linear import NAME
from tunesmith.kernels.modules import transformers_model
from tunesmith.kernels.ops.rope import HeadLayout
from tunesmith.kernels.ops.scaled_copy import ScaledCopies
from tunesmith.precision.matmul_backends import ALIGNMENT, Padding
from tunesmith.precision.stochastic_rounding import stochastic_round

FUSED = "_fused_layer"
"""Attribute of a replaced layer that holds its `FusedLayer`."""
_undo: WeakKeyDictionary[nn.Module, list[Callable[[], Any]]] = WeakKeyDictionary()


@dataclass(eq=False)
class FusedLayer:
    """What a replaced layer is run by."""

    block: TransformerBlock
    attention: AttentionSpec
    forward: Callable[..., Any] = field(init=False)
    recompute_mlp: bool = False
    """Whether the backward pass recomputes the outputs of gate and up."""
    graphs: GraphedLayers | None = None
    """CUDA graphs of this layer and its neighbours."""
    is_first: bool = False
    """Whether it is the first of those layers."""


def apply_fused_layers(
    model: nn.Module, architecture: Architecture, compute: torch.dtype, cuda_graphs: bool = False
) -> int:
    """Replace eligible layers by fused layers and return how many were replaced.

    A layer is eligible if the architecture describes it as one that the fused functions compute, and if it is fully
    trained, or frozen except for plain LoRA adapters. What an earlier call replaced is restored first. With
    `cuda_graphs`, stacks of small layers with adapters are captured in CUDA graphs.
    """
    inner = _restored(model)
    undos: list[Callable[[], Any]] = []
    copies_of_stack: dict[str, ScaledCopies] = {}
    for name, layer in inner.named_modules():
        stack = name.rpartition(".")[0]
        copies = copies_of_stack.get(stack, ScaledCopies())
        fused = _fuse(layer, architecture, compute, copies)
        if fused is None:
            continue
        if stack not in copies_of_stack:  # The first layer of a stack refreshes the copies for all.
            fused.forward = _run_before(copies.refresh, fused.forward)
        copies_of_stack[stack] = copies
        undos.append(partial(_restore, layer, type(layer)))
        vars(layer)[FUSED] = fused
        layer.__class__ = _with_own_forward(type(layer))  # type: ignore[arg-type]
    num_layers = len(undos)
    undos += _fuse_trained_linears(inner, compute)
    if cuda_graphs:
        for stack in copies_of_stack:
            _enable_cuda_graphs(list(inner.get_submodule(stack).children()))
    _undo[inner] = undos
    return num_layers


def apply_fused_linears(model: nn.Module, compute: torch.dtype) -> None:
    """Let trained linear layers round their weights stochastically where layers are not fused.

    What an earlier call replaced is restored first.
    """
    inner = _restored(model)
    _undo[inner] = _fuse_trained_linears(inner, compute)


def iter_fused_layers(model: nn.Module) -> Iterator[nn.Module]:
    """The layers that were replaced."""
    return (layer for layer in model.modules() if FUSED in vars(layer))


def set_mlp_recompute(layer: nn.Module, recompute: bool) -> None:
    """Let a replaced layer's backward pass recompute the outputs of gate and up, or let them be kept."""
    vars(layer)[FUSED].recompute_mlp = recompute


def _restored(model: nn.Module) -> PreTrainedModel:
    """The transformers model, with all replaced layers restored."""
    inner = transformers_model(model)
    for undo in _undo.pop(inner, []):
        undo()
    return inner


def _restore(layer: nn.Module, layer_class: type[nn.Module]) -> None:
    layer.__class__ = layer_class
    # Breaks the reference cycle, so that graphs and copies, which hold much memory, are freed at once.
    del vars(layer).pop(FUSED).forward


def _fuse_trained_linears(model: nn.Module, compute: torch.dtype) -> list[Callable[[], Any]]:
    """Give every trained linear layer a fused forward pass; return what restores each."""
    undos: list[Callable[[], Any]] = []
    for layer in model.modules():
        is_trained = type(layer) is nn.Linear and layer.weight.requires_grad
        if is_trained and (linear := fuse_linears([layer], ScaledCopies(), compute)) is not None:
            layer.forward = _linear_forward(linear, compute)  # type: ignore[method-assign]
            undos.append(partial(vars(layer).pop, "forward"))
    return undos


def _linear_forward(linear: FusedLinear, compute: torch.dtype) -> Callable[[Tensor], Tensor]:
    def forward(x: Tensor) -> Tensor:
        return apply_linear(x.to(compute).flatten(0, -2), linear).unflatten(0, x.shape[:-1])

    return forward


def _enable_cuda_graphs(layers: list[Any]) -> None:
    """Let consecutive layers be replayed together, if all of them are fused decoder layers with full attention."""
    fused: list[FusedLayer] = [vars(layer)[FUSED] for layer in layers if FUSED in vars(layer)]
    are_decoder_layers = all(isinstance(layer, GradientCheckpointingLayer) for layer in layers)
    sees_all = all(layer.attention.is_causal and not layer.attention.window for layer in fused)
    if len(fused) < len(layers) or not are_decoder_layers or not sees_all:
        return
    blocks = [layer.block for layer in fused]
    if any(block.is_trained for block in blocks):
        return
    attention = fused[0].attention

    def run(
        blocks: list[TransformerBlock], x: Tensor, cos: Tensor, sin: Tensor, table: Tensor, max_length: int
    ) -> Tensor:
        def attend(*heads: Tensor) -> Tensor:
            queries, keys, values = _by_head(attention, heads)
            out = short.short_attention(queries, keys, values, table, max_length, attention.scaling, True)
            return out.squeeze(0).flatten(1)

        for block in blocks:
            x = block(x, cos, sin, attend)
        return x

    def run_of(blocks: list[TransformerBlock]) -> LayerRun:
        return LayerRun(partial(run, blocks), [weight for block in blocks for weight in block.parameters])

    flop = 2 * sum(block.num_weights for block in blocks) / len(blocks)
    graphs = GraphedLayers(run_of(blocks), run_of([block.with_aliased_params() for block in blocks]), flop)
    for layer in fused:
        layer.graphs = graphs
    fused[0].is_first = True


def _run_before(first: Callable[[], None], forward: Callable[..., Any]) -> Callable[..., Any]:
    def both(*args: Any, **kwargs: Any) -> Any:
        first()
        return forward(*args, **kwargs)

    return both


@cache
def _with_own_forward(layer_class: type[nn.Module]) -> type[nn.Module]:
    """A subclass whose instances run the forward pass of their `FusedLayer`.

    The class is replaced rather than the instance's `forward`, because transformers' activation checkpointing calls the
    method of the class.
    """

    def forward(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
        return vars(self)[FUSED].forward(*args, **kwargs)

    namespace = {"forward": forward, "__module__": layer_class.__module__}
    return type(layer_class.__name__, (layer_class,), namespace)


def _fuse(
    layer: nn.Module, architecture: Architecture, compute: torch.dtype, copies: ScaledCopies
) -> FusedLayer | None:
    """The fused form of a layer, or None if it has none."""
    spec = architecture.layer_spec(layer)
    if spec is None or spec.attention is None or spec.mlp is None:
        return None
    block = _block(spec.attention, spec.mlp, compute, copies)
    if block is None:
        return None
    fused = FusedLayer(block, spec.attention)
    make_forward = _decoder_forward if spec.attention.is_causal else _vision_forward
    fused.forward = make_forward(layer, fused, compute)
    return fused


def _block(
    attention: AttentionSpec, mlp: MlpSpec, compute: torch.dtype, copies: ScaledCopies
) -> TransformerBlock | None:
    """The functions of a layer; None if they do not compute all that its description says."""
    if not _is_supported(attention) or not mlp.is_swiglu or not mlp.norm.is_plain_rms:
        return None
    head_norms = tuple(map(_rms_norm, attention.head_norms or ()))
    if len({bool(head_norm.parameters) for head_norm in head_norms}) > 1:
        return None
    missing = -mlp.projections[0].out_features % ALIGNMENT
    qkv = fuse_linears(list(attention.projections), copies, compute)
    out = fuse_linears([attention.output], copies, compute)
    gate_up = fuse_linears(list(mlp.projections), copies, compute, Padding(outputs=missing))
    down = fuse_linears([mlp.output], copies, compute, Padding(inputs=missing))
    if qkv is None or out is None or gate_up is None or down is None:
        return None
    layout = HeadLayout(attention.num_heads, attention.num_kv_heads, attention.head_dim)
    return TransformerBlock(
        QkvProjection(_rms_norm(attention.norm), qkv, layout, head_norms or None),  # type: ignore[arg-type]
        AttentionOutput(out),
        GatedMlp(_rms_norm(mlp.norm), gate_up, down),
    )


def _is_supported(attention: AttentionSpec) -> bool:
    """Whether the fused functions compute this attention: plain RMS norms and rotary positions over whole heads."""
    norms = attention.norm, *(attention.head_norms or ())
    rotates_halves = attention.rotary.dim == attention.head_dim and not attention.rotary.interleaved
    return (
        all(norm.is_plain_rms for norm in norms)
        and rotates_halves
        and not attention.dropout
        and attention.soft_cap is None
        and not attention.has_sinks
        and not attention.has_output_gate
    )


def _rms_norm(norm: NormSpec) -> RmsNorm:
    return RmsNorm(norm.module.weight, norm.eps)


def _decoder_forward(layer: Any, fused: FusedLayer, compute: torch.dtype) -> Callable[..., Any]:
    """The forward pass of a decoder layer over one packed line."""
    attention, block = fused.attention, fused.block
    plain_forward = layer.forward
    loras = _lora_layers(layer)

    def forward(
        hidden_states: Tensor,
        *args: Any,
        position_embeddings: tuple[Tensor, Tensor] | None = None,
        **kwargs: Any,
    ) -> Any:
        graphs, segments = fused.graphs, kwargs.get("segments")
        if graphs is not None and graphs.is_cached_output(hidden_states):
            return hidden_states
        is_packed = position_embeddings is not None and segments is not None and not args
        has_dtype = hidden_states.dtype == compute or block.is_trained
        if (
            not is_packed
            or position_embeddings[0].shape[-1] != attention.head_dim  # type: ignore[index]
            or kwargs.get("past_key_values") is not None
            or not _are_active(loras)
            or not has_dtype
        ):
            return plain_forward(hidden_states, *args, position_embeddings=position_embeddings, **kwargs)
        assert position_embeddings is not None
        assert segments is not None
        # Views, not indices: the gradient of an index allocates zeros and copies into them.
        cos, sin = (table.squeeze(0) for table in position_embeddings)
        if hidden_states.dtype != compute:  # Trained embeddings are in fp32.
            hidden_states = stochastic_round(hidden_states.squeeze(0), compute)[None]
        if graphs is not None and fused.is_first and _may_replay(layer, fused):
            line = short_line(segments, hidden_states[..., : attention.head_dim], None)
            out = None if line is None else graphs(hidden_states, cos, sin, AttentionBlocks(*line))
            if out is not None:
                return out
        attend = partial(_attend, attention, segments, sliding_window=attention.window)
        return block(hidden_states.squeeze(0), cos, sin, attend, fused.recompute_mlp)[None]

    return forward


def _vision_forward(layer: Any, fused: FusedLayer, compute: torch.dtype) -> Callable[..., Any]:
    """The forward pass of a vision block over the patches of a batch."""
    plain_forward = layer.forward
    loras = _lora_layers(layer)

    def forward(
        hidden_states: Tensor,
        *args: Any,
        position_embeddings: tuple[Tensor, Tensor] | None = None,
        **kwargs: Any,
    ) -> Any:
        is_packed = position_embeddings is not None and kwargs.get("segments") is not None and not args
        has_dtype = hidden_states.dtype == compute or fused.block.is_trained
        if not is_packed or not _are_active(loras) or not has_dtype:
            return plain_forward(hidden_states, *args, position_embeddings=position_embeddings, **kwargs)
        assert position_embeddings is not None
        attend = partial(_attend, fused.attention, kwargs["segments"], is_causal=False)
        x = stochastic_round(hidden_states, compute)
        return fused.block(x, *position_embeddings, attend, fused.recompute_mlp)

    return forward


def _may_replay(layer: Any, fused: FusedLayer) -> bool:
    """Whether CUDA graphs may run this layer and those after it: in training, with all activations kept."""
    keeps_activations = not layer.gradient_checkpointing and not fused.recompute_mlp
    return keeps_activations and layer.training and torch.is_grad_enabled()


def _by_head(attention: AttentionSpec, heads: tuple[Tensor, ...]) -> Iterator[Tensor]:
    """Queries, keys and values as (1, head, token, head_dim)."""
    return (x[None].unflatten(2, (-1, attention.head_dim)).transpose(1, 2) for x in heads)


def _attend(attention: AttentionSpec, segments: Any, *heads: Tensor, **options: Any) -> Tensor:
    """The output of attention by the function that the model's config names; heads lie next to each other in a row."""
    module = attention.module
    attend = ALL_ATTENTION_FUNCTIONS[module.config._attn_implementation]
    out, _ = attend(
        module, *_by_head(attention, heads), None, segments=segments, scaling=attention.scaling, **options
    )
    return out.squeeze(0).flatten(1)  # type: ignore[no-any-return]


def _lora_layers(module: nn.Module) -> list[Any]:
    from peft.tuners.lora import LoraLayer

    return [inner for inner in module.modules() if isinstance(inner, LoraLayer)]


def _are_active(loras: list[Any]) -> bool:
    """Whether the adapters are switched on and not merged."""
    return not any(lora.disable_adapters or lora.merged or lora.active_adapters != [NAME] for lora in loras)
