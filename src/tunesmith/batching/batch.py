"""A sample's journey, form 4: many examples laid end to end, no padding, with a table of where each stands."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Int, UInt8
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Segments:
    """Where each segment of a line of tokens stands, and which earlier segment it continues.

    A segment's tokens see the tokens before them in the same segment and, if it continues another, all tokens of
    that one. Tokens of different segments do not see each other otherwise.
    """

    starts: Int[Tensor, " segment"]
    """Index of the first token; on the CPU."""
    lengths: Int[Tensor, " segment"]
    """Number of tokens; on the CPU."""
    continues: Int[Tensor, " segment"]
    """Index of an earlier segment that this one goes on from, or -1; on the CPU. One level: what is continued
    continues nothing itself."""

    @staticmethod
    def end_to_end(lengths: list[int], continues: list[int] | None = None) -> Segments:
        """Segments of these lengths, one directly after the other."""
        sizes = torch.tensor(lengths, dtype=torch.int32)
        parents = torch.tensor(continues or [-1] * len(lengths), dtype=torch.int32)
        return Segments((sizes.cumsum(0) - sizes).to(torch.int32), sizes, parents)

    @property
    def boundaries(self) -> Int[Tensor, " boundary"]:
        """Cumulative lengths from 0, as variable-length kernels want them."""
        return torch.cat([self.starts, (self.starts[-1:] + self.lengths[-1:])]).to(torch.int32)

    @property
    def max_length(self) -> int:
        """Tokens in the longest segment."""
        return int(self.lengths.max())


@dataclass(frozen=True, eq=False)
class Pixels:
    """All pictures of a batch, cut into patches and laid end to end."""

    patches: UInt8[Tensor, "patch value"]
    """Red, green and blue of every patch as they are in the picture (0 to 255): channel, row, column. Patches
    of one token stand together, tokens from left to right and top to bottom."""
    grids: Int[Tensor, "picture 2"]
    """Patches from top to bottom, and from left to right; on the CPU."""
    tokens: Int[Tensor, " picture_token"]
    """Indices of the batch's tokens that stand for pictures, in the order of the patches."""


@dataclass(frozen=True, eq=False)
class Batch:
    """One packed micro-batch on the device."""

    tokens: Int[Tensor, " token"]
    """Token ids."""
    positions: Int[Tensor, "axis token"]
    """Position of each token within its own segment (after what the segment continues): one axis for text;
    with pictures three, of time, height and width."""
    predicting: Int[Tensor, " prediction"]
    """Indices of the tokens whose next token is trained."""
    targets: Int[Tensor, " prediction"]
    """The trained token that each of them must predict."""
    segments: Segments
    """Where each example stands."""
    pixels: Pixels | None = None
    """The batch's pictures, if it has any."""
    labels: Int[Tensor, "label 2"] | None = None
    """Segment and class of every label, in the order of segments; None if the task has no classes."""

    @property
    def num_trained(self) -> int:
        """Number of tokens that carry loss."""
        return len(self.targets)
