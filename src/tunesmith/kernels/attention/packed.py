"""Attention over a packed line of tokens: each segment sees itself and what it continues, and nothing else.

The functions stand in transformers' own registry under names of ours. Its mask registry does not know those
names, so no mask is made for the line; where segments begin and end comes in as the keyword argument
`segments`.
"""

from __future__ import annotations

import importlib.util
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import lru_cache
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from tunesmith.batching.batch import Segments
from tunesmith.errors import ModelError
from tunesmith.kernels.attention import long, short
from tunesmith.kernels.attention.prefix_kv import PrefixGather
from tunesmith.kernels.modules import transformers_model

Setting = Literal["auto", "varlen", "flash_attention_2", "sdpa", "eager"]
Queries = Float[Tensor, "1 head token width"]
Keys = Float[Tensor, "1 kv_head token width"]
Attended = Float[Tensor, "1 token head width"]

REGISTERED = {
    "varlen": "packed_varlen",
    "flash_attention_2": "packed_fa2",
    "sdpa": "packed_by_segment",
    "eager": "packed_eager",
}
"""Our names in transformers' registry; theirs have checks of their own attached to `sdpa` and `flash`."""

UNSUPPORTED = {
    "softcap": "a soft cap on its scores",
    "s_aux": "attention sinks",
    "position_bias": "a position bias on its scores",
}
"""Arguments of some architectures that packed attention does not implement, and what they stand for."""


def choose(setting: Setting, device: torch.device, compute: torch.dtype) -> tuple[str, str]:
    """The attention of packed batches and why it is that one; ModelError if it was asked for and cannot be
    had."""
    missing = {
        "varlen": _why_no_kernel(device, compute),
        "flash_attention_2": _why_no_kernel(device, compute) or _why_no_flash(),
        "sdpa": "",
        "eager": "",
    }
    if setting == "auto":
        best = next(name for name, why in missing.items() if not why)
        without = "; ".join(f"no {name}: {why}" for name, why in missing.items() if why)
        return best, without or "the fastest there is"
    if missing[setting]:
        possible = ", ".join(name for name, why in missing.items() if not why)
        raise ModelError(
            f"model.attention: {setting} cannot run here ({missing[setting]}). Possible: auto, {possible}"
        )
    return setting, "asked for"


def use(model: PreTrainedModel, attention: str) -> None:
    """Make every attention layer of the model a packed one; ModelError if its code has attention of its
    own."""
    if not model._can_set_attn_implementation():
        raise ModelError(
            f"model.path: models of type {model.config.model_type} have attention code of their own, which cannot be "
            "told where packed examples end. Use another model"
        )
    model.set_attn_implementation(REGISTERED[attention])


@contextmanager
def for_generation(model: nn.Module) -> Iterator[None]:
    """Within it the model attends as transformers' `generate` with a cache expects; afterwards packed
    again."""
    inner = transformers_model(model)
    packed = inner.config._attn_implementation
    inner.set_attn_implementation(_of_text(inner, "sdpa"))
    try:
        yield
    finally:
        inner.set_attn_implementation(_of_text(inner, packed))


def _of_text(model: PreTrainedModel, attention: str) -> str | dict[str, str]:
    """The attention for what writes text only: a vision tower works on packed lines in either case."""
    inner = {"text_config"} & model.config.sub_configs.keys()
    return dict.fromkeys(inner, attention) or attention


def _why_no_kernel(device: torch.device, compute: torch.dtype) -> str:
    if device.type != "cuda":
        return f"it needs a GPU, this is {device.type}"
    if compute not in (torch.bfloat16, torch.float16):
        return "it needs 16 bit, this is fp32"
    return ""


def _why_no_flash() -> str:
    return "" if importlib.util.find_spec("flash_attn") else "flash-attn is not installed"


class AttentionInputs(NamedTuple):
    """Arguments of one attention layer."""

    query: Queries
    key: Keys
    value: Keys
    segments: Segments
    scale: float | None
    dropout: float
    window: int | None
    """How many tokens, itself included, a token sees at most; None is all before it."""
    causal: bool = True
    """False if a token sees all tokens of its segment, those after it too (in a vision tower)."""


def _registered(attend: Callable[[AttentionInputs], Attended]) -> Callable[..., tuple[Tensor, None]]:
    """The function in the form that transformers calls."""

    def attention(
        module: nn.Module,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attention_mask: Tensor | None,
        *,
        segments: Segments | None = None,
        scaling: float | None = None,
        dropout: float = 0.0,
        sliding_window: int | None = None,
        **extras: Any,
    ) -> tuple[Tensor, None]:
        if segments is None:  # Outside of packed batches the model runs within `for_generation`.
            raise ModelError(
                f"model.path: the layers of models of type {_model_type(module)} do not pass on to attention where "
                "packed examples end. Use another model"
            )
        if extra := [what for name, what in UNSUPPORTED.items() if extras.get(name) is not None]:
            raise ModelError(
                f"model.path: models of type {_model_type(module)} have attention with {' and '.join(extra)}, which "
                "packed attention does not support. Use another model"
            )
        # Rotated queries and keys come in fp32 where weights are, and all three from quantised layers after a norm in
        # fp32; kernels want the precision of the products.
        kind = query.device.type
        compute = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else value.dtype
        packed = AttentionInputs(
            query.to(compute),
            key.to(compute),
            value.to(compute),
            segments,
            scaling,
            dropout,
            sliding_window,
            extras.get("is_causal") is not False,
        )
        return attend(packed), None

    return attention


def _model_type(module: Any) -> str:
    """The model type of an attention module, for messages."""
    return str(vars(module)["config"].model_type) if "config" in vars(module) else "unknown"


def _by_segment(packed: AttentionInputs) -> Attended:
    """One call of scaled_dot_product_attention for all segments of one shape."""
    on_cpu = packed.query.device.type == "cpu"
    sizes = packed.segments.lengths.tolist()
    queries, keys, values = _pieces(packed, sizes, shared_heads=on_cpu)
    attended: list[Tensor] = [packed.query] * len(sizes)
    # On a CPU the kernel takes five times as long in bf16 as in fp32 (forward and backward, torch 2.13).
    with torch.autocast("cpu", enabled=False) if on_cpu else nullcontext():
        for shape, members, parents in _shapes(packed.segments):
            plain = shape.is_plain(packed.window) or not packed.causal
            mask = None if plain else shape.mask(packed.window, packed.query.device)
            together = functional.scaled_dot_product_attention(
                torch.cat([queries[member] for member in members]),
                torch.cat(_with_parents(keys, members, parents)),
                torch.cat(_with_parents(values, members, parents)),
                attn_mask=mask,
                is_causal=mask is None and packed.causal,
                dropout_p=packed.dropout,
                scale=packed.scale,
                enable_gqa=on_cpu and packed.query.shape[1] != packed.key.shape[1],
            )
            for member, piece in zip(members, together.split(1), strict=True):
                attended[member] = piece
    # Some architectures call `view` on what comes out, as transformers' own functions allow.
    return torch.cat(attended, dim=2).transpose(1, 2).to(packed.value.dtype).contiguous()


def _pieces(packed: AttentionInputs, sizes: list[int], shared_heads: bool) -> list[tuple[Tensor, ...]]:
    """Queries, keys and values of each segment; in fp32 and with keys as they are if heads may share them,
    else with the keys and values repeated for every head."""
    tensors = [packed.query, packed.key, packed.value]
    if shared_heads:
        tensors = [tensor.float() for tensor in tensors]
    else:
        groups = packed.query.shape[1] // packed.key.shape[1]
        tensors[1:] = [tensor.repeat_interleave(groups, dim=1) for tensor in tensors[1:]]
    return [tensor.split(sizes, dim=2) for tensor in tensors]


def _eager(packed: AttentionInputs) -> Attended:
    """The definition, one segment at a time: softmax(q k / sqrt(d)) v (Vaswani et al. 2017, section
    3.2.1)."""
    sizes = packed.segments.lengths.tolist()
    queries, keys, values = _pieces(packed, sizes, shared_heads=False)
    scale = packed.scale or packed.query.shape[-1] ** -0.5
    attended: list[Tensor] = [packed.query] * len(sizes)
    for shape, members, parents in _shapes(packed.segments):
        visible = shape.mask(packed.window, packed.query.device) | (not packed.causal)
        own_keys, own_values = _with_parents(keys, members, parents), _with_parents(values, members, parents)
        for place, member in enumerate(members):
            scores = queries[member] @ own_keys[place].transpose(2, 3) * scale
            weights = scores.masked_fill(~visible, float("-inf")).softmax(-1, dtype=torch.float32)
            weights = functional.dropout(weights, packed.dropout).to(packed.value.dtype)
            attended[member] = weights @ own_values[place]
    return torch.cat(attended, dim=2).transpose(1, 2)


def _varlen(packed: AttentionInputs) -> Attended:
    """The whole line by kernels for segments of unlike lengths: ours if they are short, cuDNN's for long ones, else
    PyTorch's."""
    if packed.dropout:
        raise ModelError(
            "model.attention: varlen has no attention dropout, which the model's config asks for. Use sdpa"
        )
    scale = packed.scale or packed.query.shape[-1] ** -0.5
    line = short_line(packed.segments, packed.query, packed.window)
    if line is not None:
        return short.short_attention(packed.query, packed.key, packed.value, *line, scale, packed.causal)
    query, key, value, table = _laid_out(packed)
    is_long = table.line is not None and packed.causal and _sees_all(packed.window, table)
    if is_long and long.supports(query.shape[-1], query.dtype, query.device):
        return long.long_attention(packed.query, packed.key, packed.value, table.line, scale)  # type: ignore[arg-type]
    attend = _by_flash if _flash_is_known() else _by_varlen_attn
    return attend(packed, query, key, value, table)[None]


def short_line(segments: Segments, heads: Tensor, window: int | None) -> tuple[Tensor, int] | None:
    """The blocks of attention and the tokens of the longest segment, if the kernels for short segments can do with
    heads like these (of that width, precision and device); else None."""
    if not heads.is_cuda or not short.supports(heads.shape[-1], heads.dtype):
        return None
    table = _table(segments, heads.device)
    is_short = table.blocks is not None and _sees_all(window, table)
    return (table.blocks, table.max_query_length) if is_short else None  # type: ignore[return-value]


def _sees_all(window: int | None, table: CuSeqlens) -> bool:
    """Whether a window leaves nothing of a segment out."""
    return window is None or window >= table.max_query_length


FLASH = (
    "query", "key", "value", "cum_seq_q", "cum_seq_k", "max_q", "max_k", "dropout_p", "is_causal",
    "return_debug_mask", "scale", "window_size_left", "window_size_right",
)  # fmt: skip
"""Arguments of PyTorch's flash attention as `_by_flash` gives them."""


@lru_cache(maxsize=1)
def _flash_is_known() -> bool:
    """True if PyTorch's own flash attention takes the arguments that it has taken from 2.5 to 2.13 at least, and can
    do without those that it may have besides."""
    schema = torch.ops.aten._flash_attention_forward.default._schema
    known, more = schema.arguments[: len(FLASH)], schema.arguments[len(FLASH) :]
    can_do_without = all(argument.has_default_value() for argument in more)
    return (
        [argument.name for argument in known] == list(FLASH) and can_do_without and len(schema.returns) == 5
    )


def _by_flash(packed: AttentionInputs, query: Tensor, key: Tensor, value: Tensor, table: CuSeqlens) -> Tensor:
    """The operator below `varlen_attn`, with its own derivative. `varlen_attn` is an operator in Python: a call takes
    the CPU 0.6 ms forward and 0.8 ms backward beside an H100 (torch 2.11)."""
    left = packed.window - 1 if packed.window else -1
    attended: Tensor = torch.ops.aten._flash_attention_forward.default(
        query,
        key,
        value,
        *table.bounds,
        0.0,
        packed.causal and left < 0,
        False,
        scale=packed.scale,
        window_size_left=left,
        window_size_right=0 if packed.causal else -1,
    )[0]
    return attended


@lru_cache(maxsize=1)
def _varlen_arguments() -> frozenset[str]:
    """What `varlen_attn` of this PyTorch can be told."""
    from torch.nn.attention.varlen import varlen_attn

    return frozenset(inspect.signature(varlen_attn).parameters)


def _by_varlen_attn(
    packed: AttentionInputs, query: Tensor, key: Tensor, value: Tensor, table: CuSeqlens
) -> Tensor:
    """PyTorch's public function, whose arguments have changed between versions."""
    from torch.nn.attention.varlen import varlen_attn

    known = _varlen_arguments()
    extras: dict[str, Any] = {"scale": packed.scale}
    if "window_size" in known:
        extras["window_size"] = (packed.window - 1 if packed.window else -1, 0 if packed.causal else -1)
    elif packed.window and packed.window < table.max_key_length:
        raise ModelError("model.attention: varlen of this PyTorch has no sliding window. Use attention: sdpa")
    else:
        extras["is_causal"] = packed.causal
    if "enable_gqa" in known:  # Before it was there, heads were shared without being told.
        extras["enable_gqa"] = query.shape[1] != key.shape[1]
    attended: Any = varlen_attn(query, key, value, *table.bounds, **extras)
    return attended  # type: ignore[no-any-return]


def _flash(packed: AttentionInputs) -> Attended:
    """The flash-attn package's variable-length kernel, one call for the whole line."""
    from flash_attn import flash_attn_varlen_func

    query, key, value, table = _laid_out(packed)
    attended = flash_attn_varlen_func(
        query,
        key,
        value,
        *table.bounds,
        dropout_p=packed.dropout,
        softmax_scale=packed.scale,
        causal=packed.causal,
        window_size=(packed.window - 1 if packed.window else -1, -1 if not packed.window else 0),
    )
    return attended[None]  # type: ignore[no-any-return]


for _name, _attend in {
    "varlen": _varlen, "flash_attention_2": _flash, "sdpa": _by_segment, "eager": _eager
}.items():  # fmt: skip
    ALL_ATTENTION_FUNCTIONS.register(REGISTERED[_name], _registered(_attend))


class Shape(NamedTuple):
    """Lengths that segments have in common."""

    before: int
    """Tokens of what is continued."""
    own: int

    def is_plain(self, window: int | None) -> bool:
        """True if an ordinary causal mask says it all."""
        return not self.before and (window is None or window >= self.own)

    def mask(self, window: int | None, device: torch.device) -> Bool[Tensor, "own all"]:
        """True where a token (row) sees another (column)."""
        visible = torch.ones(self.own, self.before + self.own, dtype=torch.bool, device=device)
        visible = visible.tril(self.before)
        return visible if window is None else visible.triu(self.before - window + 1)


@lru_cache(maxsize=16)
def _shapes(segments: Segments) -> tuple[tuple[Shape, list[int], list[int]], ...]:
    """Shapes of the segments, each with the segments that have it and what those continue (-1 for
    nothing)."""
    sizes, parents = segments.lengths.tolist(), segments.continues.tolist()
    groups: dict[Shape, list[int]] = {}
    for index, (size, parent) in enumerate(zip(sizes, parents, strict=True)):
        groups.setdefault(Shape(sizes[parent] if parent >= 0 else 0, size), []).append(index)
    return tuple(
        (shape, members, [parents[member] for member in members]) for shape, members in groups.items()
    )


def _with_parents(pieces: tuple[Tensor, ...], members: list[int], parents: list[int]) -> list[Tensor]:
    """The members' pieces, each after the piece of what it continues."""
    return [
        pieces[member] if parent < 0 else torch.cat([pieces[parent], pieces[member]], dim=2)
        for member, parent in zip(members, parents, strict=True)
    ]


class CuSeqlens(NamedTuple):
    """Cumulative lengths of segments, and the layouts that the kernels need."""

    query_cu_seqlens: Int[Tensor, " segment+1"]
    key_cu_seqlens: Int[Tensor, " segment+1"]
    max_query_length: int
    max_key_length: int
    keys: PrefixGather | None
    """How keys and values are laid out; None if they are as they stand."""
    blocks: Int[Tensor, "block 3"] | None
    """Blocks of segments; None if keys and values are laid out anew, or segments are long."""
    line: long.MixedLine | None
    """Long segments and the others; None if keys and values are laid out anew, or none is long."""

    @property
    def bounds(self) -> tuple[Tensor, Tensor, int, int]:
        """Ends of queries and of keys and the longest of each, in the order in which such kernels take them."""
        return self.query_cu_seqlens, self.key_cu_seqlens, self.max_query_length, self.max_key_length


def _laid_out(packed: AttentionInputs) -> tuple[Tensor, Tensor, Tensor, CuSeqlens]:
    """Queries, keys and values as (token, head, width), and their table."""
    table = _table(packed.segments, packed.query.device)
    query, key, value = (
        tensor.squeeze(0).transpose(0, 1) for tensor in (packed.query, packed.key, packed.value)
    )
    if table.keys is not None:
        key, value = table.keys(key), table.keys(value)
    return query, key, value, table


@lru_cache(maxsize=16)
def _table(segments: Segments, device: torch.device) -> CuSeqlens:
    sizes, parents = segments.lengths.tolist(), segments.continues.tolist()
    ends = segments.boundaries.to(device, non_blocking=True)
    if max(parents) < 0:
        is_short = max(sizes) <= short.MAX_LENGTH
        blocks = short.query_blocks(segments).to(device, non_blocking=True) if is_short else None
        line = long.line_of(segments)
        if line is not None and line.blocks is not None:
            line = line._replace(blocks=line.blocks.to(device, non_blocking=True))
        return CuSeqlens(ends, ends, max(sizes), max(sizes), None, blocks, line)
    lengths = torch.tensor(
        [size + (sizes[parent] if parent >= 0 else 0) for size, parent in zip(sizes, parents, strict=True)],
        dtype=torch.int32,
    )
    key_cu_seqlens = functional.pad(lengths.cumsum(0), (1, 0)).to(torch.int32)
    gather = PrefixGather.for_segments(segments, device)
    return CuSeqlens(ends, key_cu_seqlens.to(device), max(sizes), int(lengths.max()), gather, None, None)
