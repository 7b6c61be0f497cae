"""How a layer is built: what a family says of its layers, and what fused layers are made from.

A family describes a layer by its modules and by what they compute. Kernels take a layer only if they compute all that
the description says; a layer without a description runs as it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

from torch import nn


@dataclass(frozen=True, eq=False)
class NormSpec:
    """A normalisation over the width: x / rms(x) * (offset + weight), or PyTorch's layer norm."""

    module: Any
    eps: float
    weight_offset: float = 0.0
    """Number added to the weight: 1 where the weight is stored as a difference from 1."""
    kind: Literal["rms", "layer"] = "rms"

    @property
    def is_plain_rms(self) -> bool:
        """Whether it is x / rms(x) * weight."""
        return self.kind == "rms" and self.weight_offset == 0


@dataclass(frozen=True)
class RotarySpec:
    """The rotary position embedding of queries and keys (Su et al. 2021)."""

    dim: int
    """Width of a head that is rotated; the rest of the head is left as it is."""
    interleaved: bool = False
    """Whether neighbouring elements form the rotated pairs, rather than the two halves of the rotated width."""
    sections: tuple[int, ...] = ()
    """Frequencies of each position axis (time, height, width); empty for positions of text alone."""
    interleaved_sections: bool = False
    """Whether the axes take turns frequency by frequency, rather than one block of frequencies each."""


@dataclass(frozen=True, eq=False)
class AttentionSpec:
    """A norm, projections, softmax attention over heads, and the output projection, added to the residual stream."""

    module: Any
    """The attention module, which transformers hands to its attention functions."""
    norm: NormSpec
    projections: tuple[Any, ...]
    """Linear layers of queries, keys and values, or one of all three."""
    output: Any
    """The output projection."""
    num_heads: int
    num_kv_heads: int
    head_dim: int
    scaling: float
    rotary: RotarySpec
    head_norms: tuple[NormSpec, NormSpec] | None = None
    """Norms of each head of queries and keys."""
    is_causal: bool = True
    window: int | None = None
    """Number of tokens, its own included, that a token attends to; None for all before it."""
    dropout: float = 0.0
    soft_cap: float | None = None
    """Largest score, by tanh (Gemma Team 2024)."""
    has_sinks: bool = False
    """Whether each head has a learnt score that no value belongs to."""
    has_output_gate: bool = False
    """Whether the query projection also gives a gate, by whose sigmoid the output of attention is multiplied."""


@dataclass(frozen=True, eq=False)
class MlpSpec:
    """A norm, one or two projections to the inner width, an activation, and the projection back, added likewise."""

    module: Any
    norm: NormSpec
    projections: tuple[Any, ...]
    """Linear layers of gate and up; one alone for an MLP without a gate."""
    output: Any
    activation: str
    """Name of the activation as in the configs of transformers, such as `silu`."""

    @property
    def is_swiglu(self) -> bool:
        """Whether it is output(silu(gate) * up) of two linear layers (Shazeer 2020)."""
        return len(self.projections) == 2 and self.activation == "silu"


@dataclass(frozen=True, eq=False)
class LayerSpec:
    """One layer of a stack: attention, then the MLP. A half that is something else is None."""

    attention: AttentionSpec | None
    mlp: MlpSpec | None


@runtime_checkable
class Architecture(Protocol):
    """What describes the layers of a model: its family."""

    def layer_spec(self, layer: nn.Module) -> LayerSpec | None:
        """How a layer is built; None for a module that is not described."""

    def norm_spec(self, norm: nn.Module) -> NormSpec | None:
        """What a norm computes; None for a module that is not described."""


def child_names(module: nn.Module, children: Sequence[nn.Module]) -> list[str]:
    """The names of a module's children, which outlast their replacement by others."""
    names = {id(child): name for name, child in module.named_children()}
    return [names[id(child)] for child in children]


def described_modules(
    model: nn.Module, architecture: Architecture
) -> Iterator[NormSpec | AttentionSpec | MlpSpec]:
    """The described norms, and the two halves of each described layer."""
    for module in model.modules():
        if (norm := architecture.norm_spec(module)) is not None:
            yield norm
        elif (layer := architecture.layer_spec(module)) is not None:
            yield from (half for half in (layer.attention, layer.mlp) if half is not None)
