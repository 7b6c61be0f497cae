"""The vision tower over all pictures of a batch: one line of patches, one attention call."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float, Int, Int64, Num
from torch import Tensor
from torch.nn import functional
from transformers.modeling_outputs import BaseModelOutputWithPooling

from tunesmith.batching.batch import Segments

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

    from tunesmith.model.families._image_processor import ImageProcessorConfig

Grids = tuple[tuple[int, int], ...]


@dataclass(frozen=True, eq=False)
class Layout:
    """Positions and attention segments of the patches of a batch, in the order in which the tower runs them."""

    positions: Int64[Tensor, "patch 2"]
    """Row and column of each patch in its picture."""
    order: Int64[Tensor, " token"] | None
    """For each token of the tower's line, its index in the batch; None if the order is the same."""
    inverse: Int64[Tensor, " token"] | None
    """For each token of the batch, its index in the tower's line; None likewise."""
    pictures: Segments
    """One segment per picture."""
    windows: Segments
    """One segment per attention window; the pictures where the tower has no windows."""
    line_bounds: Int[Tensor, "2"]
    """Start and end of the line, on the CPU; transformers splits the line at these bounds, that is, not at all."""
    corners: Int64[Tensor, "patch 4"] | None
    """The four entries of the learnt grid of positions around each patch."""
    weights: Float[Tensor, "patch 4"] | None
    """The bilinear interpolation weights of these entries."""


@dataclass(frozen=True, eq=False)
class Tower:
    """A model's vision tower, run over all pictures of a batch at once."""

    tower: Any
    config: PreTrainedConfig
    image_processor: ImageProcessorConfig

    def __call__(
        self, patches: Num[Tensor, "patch value"], grids: Int[Tensor, "picture 2"]
    ) -> tuple[Float[Tensor, "token width"], list[Float[Tensor, "token width"]]]:
        """The embeddings of all picture tokens, and those that are added to the first language layers (deepstack)."""
        tower, settings = self.tower, self.config.vision_config
        shapes = tuple(tuple(grid) for grid in grids.tolist())
        layout = _layout(
            shapes, self.image_processor.merge_size, self._window, self._grid_side, patches.device
        )
        unit = self.image_processor.merge_size**2
        hidden = self._embedded(patches)
        if layout.corners is not None and layout.weights is not None:
            learnt = tower.pos_embed(layout.corners) * layout.weights[..., None]
            hidden = hidden + learnt.sum(1).to(hidden.dtype)
        hidden = _permuted(hidden.unflatten(0, (-1, unit)), layout.order, layout.inverse).flatten(0, 1)
        cos_sin = _rotation(layout.positions, tower.rotary_pos_emb.inv_freq)
        full_attention = set(getattr(settings, "fullatt_block_indexes", range(len(tower.blocks))))
        deepstack = list(getattr(settings, "deepstack_visual_indexes", ()))
        deep = []
        for number, block in enumerate(tower.blocks):
            hidden = block(
                hidden,
                cu_seqlens=layout.line_bounds,
                position_embeddings=cos_sin,
                segments=layout.pictures if number in full_attention else layout.windows,
            )
            if number in deepstack:
                deep.append(tower.deepstack_merger_list[deepstack.index(number)](hidden))
        return _permuted(tower.merger(hidden), layout.inverse, layout.order), deep

    def install(self) -> None:
        """Replace the tower's forward pass by this one, also for transformers' `generate`."""

        def forward(hidden_states: Tensor, grid_thw: Tensor, **_: Any) -> BaseModelOutputWithPooling:
            embeddings, deep = self(hidden_states, grid_thw[:, 1:].cpu())
            if not deep:
                return BaseModelOutputWithPooling(last_hidden_state=embeddings, pooler_output=embeddings)
            from transformers.models.qwen3_vl.modeling_qwen3_vl import BaseModelOutputWithDeepstackFeatures

            return BaseModelOutputWithDeepstackFeatures(
                last_hidden_state=embeddings, pooler_output=embeddings, deepstack_features=deep
            )

        self.tower.forward = forward

    @property
    def _window(self) -> int | None:
        """Side of an attention window in tokens; None without windows."""
        size = getattr(self.config.vision_config, "window_size", None)
        return size // self.image_processor.merge_size // self.image_processor.patch_size if size else None

    @property
    def _grid_side(self) -> int | None:
        """Side of the learnt grid of positions; None without one."""
        number = getattr(self.config.vision_config, "num_position_embeddings", None)
        return int(number**0.5) if number else None

    def _embedded(self, patches: Num[Tensor, "patch value"]) -> Float[Tensor, "patch width"]:
        """The embeddings of the patches.

        The patch embedding is a convolution whose kernel and stride are one patch, which is a linear layer; over two
        equal pictures in time it is one with the sum of both weights."""
        layer = self.tower.patch_embed.proj
        size = self.image_processor.patch_size**2
        mean = _per_value(self.image_processor.mean, size, patches.device)
        std = _per_value(self.image_processor.std, size, patches.device)
        normalised = (patches.float() / 255 - mean) / std
        weight = layer.weight.sum(2).flatten(1)
        return functional.linear(normalised.to(weight.dtype), weight, layer.bias)


def add_at(
    hidden: Float[Tensor, "line token width"], where: Tensor, added: Float[Tensor, "_ width"]
) -> Float[Tensor, "line token width"]:
    """The hidden states plus `added` at some tokens, given by their indices or a mask."""
    indices = where.flatten().nonzero().squeeze(-1) if where.dtype == torch.bool else where
    flat = torch.zeros_like(hidden.flatten(0, 1)).index_copy(0, indices, added.to(hidden.dtype))
    return hidden + flat.view_as(hidden)


class _Permute(torch.autograd.Function):
    """A permutation of rows, whose gradient is the inverse permutation; cheaper than the scatter of an index."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, order: Tensor, inverse: Tensor) -> Tensor:
        ctx.save_for_backward(inverse)
        return rows[order]

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None, None]:
        (inverse,) = ctx.saved_tensors
        return grad_outputs[0][inverse], None, None


def _permuted(
    rows: Float[Tensor, " row *width"],
    order: Int64[Tensor, " row"] | None,
    inverse: Int64[Tensor, " row"] | None,
) -> Float[Tensor, " row *width"]:
    """The rows in another order; unchanged if `order` is None."""
    return rows if order is None else _Permute.apply(rows, order, inverse)  # type: ignore[no-any-return]


def forget_layouts() -> None:
    """Clear what is cached between forward passes; a forecast caches tensors without data."""
    _layout.cache_clear()
    _per_value.cache_clear()


@lru_cache(maxsize=16)
def _per_value(per_colour: tuple[float, ...], size: int, device: torch.device) -> Float[Tensor, " value"]:
    """One number per colour, repeated for each of the `size` values that a patch has of it.

    Cached on the device, since a copy from the host would stall every forward pass."""
    return torch.tensor(per_colour, device=device).repeat_interleave(size)


@lru_cache(maxsize=16)
def _layout(
    grids: Grids, merge: int, window: int | None, grid_side: int | None, device: torch.device
) -> Layout:
    """The layout of pictures with these numbers of patches (rows, columns)."""
    tokens = [(rows // merge, columns // merge) for rows, columns in grids]
    positions = np.concatenate([_places(rows, columns, merge) for rows, columns in grids])
    order, inverse, permuted = None, None, positions
    sizes = [rows * columns for rows, columns in tokens]
    if window is not None:
        order, sizes = _windows(tokens, window)
        inverse = np.argsort(order)
        permuted = positions.reshape(len(order), merge**2, 2)[order].reshape(-1, 2)
    corners, weights = _between(grids, positions, grid_side) if grid_side else (None, None)

    def on_device(array: Any) -> Any:
        return None if array is None else torch.from_numpy(array).to(device)

    return Layout(
        positions=on_device(permuted),
        order=on_device(order),
        inverse=on_device(inverse),
        pictures=Segments.end_to_end([rows * columns for rows, columns in grids]),
        windows=Segments.end_to_end([size * merge**2 for size in sizes]),
        line_bounds=torch.tensor([0, len(positions)], dtype=torch.int32),
        corners=on_device(corners),
        weights=on_device(weights),
    )


def _places(rows: int, columns: int, merge: int) -> Int64[np.ndarray, "patch 2"]:
    """Row and column of every patch: tokens from left to right and top to bottom, patches likewise within."""
    row, column = np.divmod(np.arange(rows * columns), columns)
    blocks = (rows // merge, merge, columns // merge, merge)
    return np.stack([axis.reshape(blocks).transpose(0, 2, 1, 3).ravel() for axis in (row, column)], axis=1)


def _windows(tokens: list[tuple[int, int]], side: int) -> tuple[Int64[np.ndarray, " token"], list[int]]:
    """Tokens in the order of their windows, row by row, and the number of tokens per window."""
    order, sizes, start = [], [], 0
    for rows, columns in tokens:
        numbers = start + np.arange(rows * columns).reshape(rows, columns)
        for top in range(0, rows, side):
            for left in range(0, columns, side):
                inside = numbers[top : top + side, left : left + side].ravel()
                order.append(inside)
                sizes.append(len(inside))
        start += rows * columns
    return np.concatenate(order), sizes


def _between(
    grids: Grids, places: Int64[np.ndarray, "patch 2"], side: int
) -> tuple[Int64[np.ndarray, "patch 4"], Float[np.ndarray, "patch 4"]]:
    """Indices and weights of the bilinear interpolation of a square grid at each patch.

    The grid is stretched over the picture corner to corner.
    """
    sizes = np.repeat(np.array(grids), [rows * columns for rows, columns in grids], axis=0)
    exact = places.astype(np.float32) * (side - 1) / np.maximum(sizes - 1, 1).astype(np.float32)
    low = np.floor(exact).astype(np.int64)
    high = np.minimum(low + 1, side - 1)
    share = exact - low
    corners, weights = [], []
    for row, row_weight in ((low[:, 0], 1 - share[:, 0]), (high[:, 0], share[:, 0])):
        for column, column_weight in ((low[:, 1], 1 - share[:, 1]), (high[:, 1], share[:, 1])):
            corners.append(row * side + column)
            weights.append(row_weight * column_weight)
    return np.stack(corners, axis=1), np.stack(weights, axis=1).astype(np.float32)


def _rotation(
    positions: Int64[Tensor, "patch 2"], frequencies: Float[Tensor, " frequency"]
) -> tuple[Float[Tensor, "patch width"], Float[Tensor, "patch width"]]:
    """Cosine and sine of the rotary embedding of each patch: rows in one half, columns in the other.

    Wang et al. 2024 (Qwen2-VL), section 2.1."""
    angles = (positions[..., None].float() * frequencies.float().to(positions.device)).flatten(1)
    angles = torch.cat([angles, angles], dim=-1)
    return angles.cos(), angles.sin()
