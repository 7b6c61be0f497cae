"""Which of a model's layers are run as whole functions, and how a layer's call becomes theirs.

A layer falls back to its plain forward pass where it is not asked for what the functions do: with a cache, without a
packed batch, or with its adapter switched off.
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
from tunesmith.kernels.fusion.cuda_graphs import Layers, Line, Stack
from tunesmith.kernels.fusion.equivalence import is_usual
from tunesmith.kernels.fusion.fused_layers import Block, GatedMlp, IntoAttention, Norm, OutOfAttention, linear
from tunesmith.kernels.fusion.fused_linear import Copies, Fan, fan
from tunesmith.kernels.fusion.liger import MLP_PARTS, NORM, NORM_PARTS
from tunesmith.kernels.fusion.lora_linear import NAME
from tunesmith.kernels.modules import transformers_model
from tunesmith.kernels.ops.pointwise import Heads
from tunesmith.precision.matmul_backends import ALIGNED, Pad
from tunesmith.precision.stochastic_rounding import narrow

DECODER_LAYER = {"input_layernorm", "self_attn", "post_attention_layernorm", "mlp"}
VISION_BLOCK = {"norm1", "attn", "norm2", "mlp"}
ATTENTION = {"q_proj", "k_proj", "v_proj", "o_proj"}
HEAD_NORMS = {"q_norm", "k_norm"}
VISION_ATTENTION = {"qkv", "proj"}

WHOLE = "_whole"
"""Where a layer that was exchanged has its `Whole`."""
_undo: WeakKeyDictionary[nn.Module, list[Callable[[], Any]]] = WeakKeyDictionary()


@dataclass(eq=False)
class Whole:
    """What a layer is run by."""

    block: Block
    forward: Callable[..., Any] = field(init=False)
    again: bool = False
    """Whether the backward pass computes the two wide products of the MLP again."""
    stack: Stack | None = None
    """What replays the layer together with its neighbours."""
    is_first: bool = False
    """Of those."""


def exchange(model: nn.Module, compute: torch.dtype, cuda_graphs: bool = False) -> int:
    """Run every layer that is all trained, or frozen but for plain adapters, as whole functions, and say how many those
    are. What an earlier call exchanged is put back first. Where `cuda_graphs` may be used, they are for stacks of small
    layers with adapters."""
    inner = _as_it_was(model)
    undos: list[Callable[[], Any]] = []
    first: dict[str, Copies] = {}
    for name, layer in inner.named_modules():
        beside = name.rpartition(".")[0]
        whole = _whole(layer, compute, copies := first.get(beside, Copies()))
        if whole is None:
            continue
        if beside not in first:  # The first layer of a stack makes the copies for all.
            whole.forward = _after(copies.refresh, whole.forward)
        first[beside] = copies
        undos.append(partial(_put_back, layer, type(layer)))
        vars(layer)[WHOLE] = whole
        layer.__class__ = _with_own_forward(type(layer))  # type: ignore[arg-type]
    number = len(undos)
    undos += _linear_layers(inner, compute)
    # Where there is a vision part, something may be added between two layers.
    if cuda_graphs and "vision_config" not in inner.config.sub_configs:
        for beside in first:
            _stack(list(inner.get_submodule(beside).children()))
    _undo[inner] = undos
    return number


def exchange_linear(model: nn.Module, compute: torch.dtype) -> None:
    """Let linear layers that are trained be products whose weights are rounded as `narrow` says, where layers are not
    run as whole functions. What an earlier call exchanged is put back first."""
    inner = _as_it_was(model)
    _undo[inner] = _linear_layers(inner, compute)


def _as_it_was(model: nn.Module) -> PreTrainedModel:
    """The transformers model, with nothing exchanged."""
    inner = transformers_model(model)
    for undo in _undo.pop(inner, []):
        undo()
    return inner


def _linear_layers(model: nn.Module, compute: torch.dtype) -> list[Callable[[], Any]]:
    """Give every linear layer that is trained such a forward pass; what puts each back."""
    undos: list[Callable[[], Any]] = []
    for layer in model.modules():
        is_trained = type(layer) is nn.Linear and layer.weight.requires_grad
        if is_trained and (alone := fan([layer], Copies(), compute)) is not None:
            layer.forward = _linear(alone, compute)  # type: ignore[method-assign]
            undos.append(partial(vars(layer).pop, "forward"))
    return undos


def _linear(alone: Fan, compute: torch.dtype) -> Callable[[Tensor], Tensor]:
    def forward(hidden: Tensor) -> Tensor:
        return linear(hidden.to(compute).flatten(0, -2), alone).unflatten(0, hidden.shape[:-1])

    return forward


def _stack(layers: list[Any]) -> None:
    """Let layers that follow one another be replayed together, if all of them are decoder layers of one kind."""
    wholes: list[Whole] = [vars(layer)[WHOLE] for layer in layers if WHOLE in vars(layer)]
    are_plain = all(isinstance(layer, GradientCheckpointingLayer) for layer in layers)
    if len(wholes) < len(layers) or not are_plain or any(_window(layer.self_attn) for layer in layers):
        return
    blocks = [whole.block for whole in wholes]
    if any(block.is_trained for block in blocks):
        return
    attention = layers[0].self_attn

    def run(
        blocks: list[Block], rows: Tensor, cosine: Tensor, sine: Tensor, where: Tensor, longest: int
    ) -> Tensor:
        def attend(*heads: Tensor) -> Tensor:
            each = (one[None].unflatten(2, (-1, attention.head_dim)).transpose(1, 2) for one in heads)
            queries, keys, values = each
            out = short.attended(queries, keys, values, where, longest, attention.scaling, True)
            return out.squeeze(0).flatten(1)

        for block in blocks:
            rows = block(rows, cosine, sine, attend)
        return rows

    def layers_of(blocks: list[Block]) -> Layers:
        return Layers(partial(run, blocks), [one for block in blocks for one in block.parameters])

    work = 2 * sum(block.size for block in blocks) / len(blocks)
    stack = Stack(layers_of(blocks), layers_of([block.apart() for block in blocks]), work)
    for whole in wholes:
        whole.stack = stack
    wholes[0].is_first = True


def _after(first: Callable[[], None], forward: Callable[..., Any]) -> Callable[..., Any]:
    def both(*given: Any, **named: Any) -> Any:
        first()
        return forward(*given, **named)

    return both


def whole_layers(model: nn.Module) -> Iterator[nn.Module]:
    """The layers that are run as whole functions."""
    return (layer for layer in model.modules() if WHOLE in vars(layer))


def make_products_again(layer: nn.Module, again: bool) -> None:
    """Let such a layer's backward pass compute the two wide products of its MLP again, or let them be kept."""
    vars(layer)[WHOLE].again = again


def _put_back(layer: nn.Module, kind: type[nn.Module]) -> None:
    layer.__class__ = kind
    # At once, and not when somebody looks for what refers to itself alone: graphs and copies hold much memory.
    del vars(layer).pop(WHOLE).forward


@cache
def _with_own_forward(kind: type[nn.Module]) -> type[nn.Module]:
    """The class, but that each layer brings its forward pass. Recomputing activations is done by the class, so that it
    goes on."""

    def forward(self: nn.Module, *given: Any, **named: Any) -> Any:
        return vars(self)[WHOLE].forward(*given, **named)

    return type(kind.__name__, (kind,), {"forward": forward, "__module__": kind.__module__})


def _whole(layer: nn.Module, compute: torch.dtype, copies: Copies) -> Whole | None:
    """The layer by whole functions; None if it is of another kind."""
    parts = dict(layer.named_children())
    if parts.keys() == DECODER_LAYER:
        whole = _decoder_layer(layer, compute, copies)
        return whole if whole is not None and is_usual(layer, _plain_forward) else None
    if parts.keys() == VISION_BLOCK:
        return _vision_block(layer, compute, copies)
    return None


def _plain_forward(layer: nn.Module) -> Callable[..., Any] | None:
    """A decoder layer's forward pass by whole functions, in fp32 and without adapters."""
    whole = _decoder_layer(layer, torch.float32, Copies())
    return None if whole is None else whole.forward


def _decoder_layer(layer: Any, compute: torch.dtype, copies: Copies) -> Whole | None:
    attention = layer.self_attn
    parts = dict(attention.named_children())
    norm = _norm(layer.input_layernorm)
    if norm is None or not ATTENTION <= parts.keys() <= ATTENTION | HEAD_NORMS or attention.attention_dropout:
        return None
    head_norms = tuple(_norm(parts[name]) for name in sorted(HEAD_NORMS & parts.keys(), reverse=True))
    mlp = _gated(layer.post_attention_layernorm, layer.mlp, copies, compute)
    projections = [attention.q_proj, attention.k_proj, attention.v_proj]
    turned = fan(projections, copies, compute)
    out = fan([attention.o_proj], copies, compute)
    if mlp is None or turned is None or out is None or None in head_norms:
        return None
    if len({bool(one.parameters) for one in head_norms if one is not None}) > 1:
        return None
    queries, keys = (one.out_features // attention.head_dim for one in projections[:2])
    heads = Heads(queries, keys, attention.head_dim)
    block = Block(IntoAttention(norm, turned, heads, head_norms or None), OutOfAttention(out), mlp)  # type: ignore[arg-type]
    whole = Whole(block)
    plain = layer.forward
    loras = _loras(layer)
    window = _window(attention)

    def forward(
        hidden_states: Tensor,
        *more: Any,
        position_embeddings: tuple[Tensor, Tensor] | None = None,
        **named: Any,
    ) -> Any:
        stack, segments = whole.stack, named.get("segments")
        if stack is not None and stack.gave(hidden_states):
            return hidden_states
        is_asked = position_embeddings is not None and segments is not None and not more
        is_known = hidden_states.dtype == compute or block.is_trained
        if (
            not is_asked
            or position_embeddings[0].shape[-1] != attention.head_dim  # type: ignore[index]
            or named.get("past_key_values") is not None
            or not _is_on(loras)
            or not is_known
        ):
            return plain(hidden_states, *more, position_embeddings=position_embeddings, **named)
        # Views, not indices: the gradient of an index is a tensor of zeros and a copy.
        assert position_embeddings is not None
        assert segments is not None
        cosine, sine = (one.squeeze(0) for one in position_embeddings)
        if hidden_states.dtype != compute:  # Embeddings that are trained are in fp32.
            hidden_states = narrow(hidden_states.squeeze(0), compute)[None]
        if stack is not None and whole.is_first and _is_replayed(layer, whole):
            line = short_line(segments, hidden_states[..., : attention.head_dim], None)
            out = None if line is None else stack(hidden_states, cosine, sine, Line(*line))
            if out is not None:
                return out
        attend = partial(_attended, attention, segments, sliding_window=window)
        return block(hidden_states.squeeze(0), cosine, sine, attend, whole.again)[None]

    whole.forward = forward
    return whole


def _window(attention: Any) -> int | None:
    """How many tokens one sees in this layer, None for all before it: some architectures have it from their config."""
    known = vars(attention)
    has_own = "sliding_window" in known
    return known["sliding_window"] if has_own else vars(attention.config).get("sliding_window")  # type: ignore[no-any-return]


def _is_replayed(layer: Any, whole: Whole) -> bool:
    """Whether graphs may stand for this layer and those after it: in training, with all activations kept."""
    is_kept = not layer.gradient_checkpointing and not whole.again
    return is_kept and layer.training and torch.is_grad_enabled()


def _attended(attention: Any, segments: Any, *heads: Tensor, **more: Any) -> Tensor:
    """What attention makes of queries, keys and values, heads side by side."""
    each = (one[None].unflatten(2, (-1, attention.head_dim)).transpose(1, 2) for one in heads)
    attend = ALL_ATTENTION_FUNCTIONS[attention.config._attn_implementation]
    attended, _ = attend(attention, *each, None, segments=segments, scaling=attention.scaling, **more)
    return attended.squeeze(0).flatten(1)  # type: ignore[no-any-return]


def _vision_block(block: Any, compute: torch.dtype, copies: Copies) -> Whole | None:
    attention = block.attn
    norm = _norm(block.norm1)
    mlp = _gated(block.norm2, block.mlp, copies, compute)
    if norm is None or mlp is None or dict(attention.named_children()).keys() != VISION_ATTENTION:
        return None
    turned, out = fan([attention.qkv], copies, compute), fan([attention.proj], copies, compute)
    if turned is None or out is None or attention.attention_dropout:
        return None
    heads = Heads(attention.num_heads, attention.num_heads, attention.head_dim)
    whole = Whole(Block(IntoAttention(norm, turned, heads, None), OutOfAttention(out), mlp))
    plain = block.forward
    loras = _loras(block)

    def forward(
        hidden_states: Tensor,
        *more: Any,
        position_embeddings: tuple[Tensor, Tensor] | None = None,
        **named: Any,
    ) -> Any:
        is_asked = position_embeddings is not None and named.get("segments") is not None and not more
        is_known = hidden_states.dtype == compute or whole.block.is_trained
        if not is_asked or not _is_on(loras) or not is_known:
            return plain(hidden_states, *more, position_embeddings=position_embeddings, **named)
        assert position_embeddings is not None
        attend = partial(_attended, attention, named["segments"], is_causal=False)
        return whole.block(narrow(hidden_states, compute), *position_embeddings, attend, whole.again)

    whole.forward = forward
    return whole


def _gated(norm: nn.Module, mlp: Any, copies: Copies, compute: torch.dtype) -> GatedMlp | None:
    before = _norm(norm)
    if (
        before is None
        or dict(mlp.named_children()).keys() != MLP_PARTS
        or "SiLU" not in type(mlp.act_fn).__name__
    ):
        return None
    lacking = -mlp.gate_proj.out_features % ALIGNED
    opening = fan([mlp.gate_proj, mlp.up_proj], copies, compute, Pad(outputs=lacking))
    closing = fan([mlp.down_proj], copies, compute, Pad(inputs=lacking))
    return None if opening is None or closing is None else GatedMlp(before, opening, closing)


def _norm(module: Any) -> Norm | None:
    """The norm, if it is one in whose place ours can stand."""
    weights = dict(module.named_parameters())
    if not type(module).__name__.endswith(NORM) or weights.keys() != NORM_PARTS:
        return None
    return Norm(module.weight, module.variance_epsilon)


def _loras(module: nn.Module) -> list[Any]:
    from peft.tuners.lora import LoraLayer

    return [inner for inner in module.modules() if isinstance(inner, LoraLayer)]


def _is_on(loras: list[Any]) -> bool:
    """Whether the adapters are on and not merged."""
    return not any(lora.disable_adapters or lora.merged or lora.active_adapters != [NAME] for lora in loras)
