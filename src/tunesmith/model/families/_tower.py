"""The vision tower over all pictures of a batch at once: one line of patches, one attention call for all windows."""

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

    from tunesmith.model.families._sight import Sight

Grids = tuple[tuple[int, int], ...]


@dataclass(frozen=True, eq=False)
class Layout:
    """Where the patches of some pictures stand, in the order in which the tower sees them."""

    places: Int64[Tensor, "patch 2"]
    """Row and column of each patch in its picture."""
    order: Int64[Tensor, " token"] | None
    """Token of the batch that stands at each place of the tower's line; None if they stand as in the batch."""
    back: Int64[Tensor, " token"] | None
    """Place in the tower's line of each token of the batch, likewise."""
    pictures: Segments
    """One segment a picture."""
    windows: Segments
    """One segment a window; where a tower has no windows, the pictures."""
    whole: Int[Tensor, "2"]
    """Ends of the line, on the CPU: for code that would cut it."""
    corners: Int64[Tensor, "patch 4"] | None
    """Entries of the learnt grid of positions that each patch lies between."""
    weights: Float[Tensor, "patch 4"] | None
    """How near it is to each."""


@dataclass(frozen=True, eq=False)
class Tower:
    """A model's vision tower, with what its config says of windows and positions."""

    tower: Any
    config: PreTrainedConfig
    sight: Sight

    def __call__(
        self, patches: Num[Tensor, "patch value"], grids: Int[Tensor, "picture 2"]
    ) -> tuple[Float[Tensor, "token width"], list[Float[Tensor, "token width"]]]:
        """What the pictures look like to the language model, token by token, and what is added to its first
        layers (of towers that do so)."""
        tower, settings = self.tower, self.config.vision_config
        shapes = tuple(tuple(grid) for grid in grids.tolist())
        layout = _layout(shapes, self.sight.merge_size, self._window, self._grid_side, patches.device)
        unit = self.sight.merge_size**2
        hidden = self._embedded(patches)
        if layout.corners is not None and layout.weights is not None:
            learnt = tower.pos_embed(layout.corners) * layout.weights[..., None]
            hidden = hidden + learnt.sum(1).to(hidden.dtype)
        hidden = _moved(hidden.unflatten(0, (-1, unit)), layout.order, layout.back).flatten(0, 1)
        turned = _rotation(layout.places, tower.rotary_pos_emb.inv_freq)
        everywhere = set(getattr(settings, "fullatt_block_indexes", range(len(tower.blocks))))
        deepest = list(getattr(settings, "deepstack_visual_indexes", ()))
        deep = []
        for number, block in enumerate(tower.blocks):
            hidden = block(
                hidden,
                cu_seqlens=layout.whole,
                position_embeddings=turned,
                segments=layout.pictures if number in everywhere else layout.windows,
            )
            if number in deepest:
                deep.append(tower.deepstack_merger_list[deepest.index(number)](hidden))
        return _moved(tower.merger(hidden), layout.back, layout.order), deep

    def install(self) -> None:
        """Make this the tower's own forward pass, so that transformers' `generate` goes through it too."""

        def forward(hidden_states: Tensor, grid_thw: Tensor, **_: Any) -> BaseModelOutputWithPooling:
            seen, deep = self(hidden_states, grid_thw[:, 1:].cpu())
            if not deep:
                return BaseModelOutputWithPooling(last_hidden_state=seen, pooler_output=seen)
            from transformers.models.qwen3_vl.modeling_qwen3_vl import BaseModelOutputWithDeepstackFeatures

            return BaseModelOutputWithDeepstackFeatures(
                last_hidden_state=seen, pooler_output=seen, deepstack_features=deep
            )

        self.tower.forward = forward

    @property
    def _window(self) -> int | None:
        """Side of an attention window in tokens, of towers that have windows."""
        size = getattr(self.config.vision_config, "window_size", None)
        return size // self.sight.merge_size // self.sight.patch_size if size else None

    @property
    def _grid_side(self) -> int | None:
        """Side of the learnt grid of positions, of towers that have one."""
        number = getattr(self.config.vision_config, "num_position_embeddings", None)
        return int(number**0.5) if number else None

    def _embedded(self, patches: Num[Tensor, "patch value"]) -> Float[Tensor, "patch width"]:
        """The patches, normalised, through the patch embedding: a convolution whose kernel and stride are one
        patch is a linear layer (and over two equal pictures in time, one with the sum of its weights)."""
        layer = self.tower.patch_embed.proj
        size = self.sight.patch_size**2
        mean = _of_each_value(self.sight.mean, size, patches.device)
        deviation = _of_each_value(self.sight.deviation, size, patches.device)
        normalised = (patches.float() / 255 - mean) / deviation
        weight = layer.weight.sum(2).flatten(1)
        return functional.linear(normalised.to(weight.dtype), weight, layer.bias)


def add_at(
    hidden: Float[Tensor, "line token width"], where: Tensor, seen: Float[Tensor, "_ width"]
) -> Float[Tensor, "line token width"]:
    """The hidden states with what was seen added at these tokens: their indices, or a mask."""
    places = where.flatten().nonzero().squeeze(-1) if where.dtype == torch.bool else where
    flat = torch.zeros_like(hidden.flatten(0, 1)).index_copy(0, places, seen.to(hidden.dtype))
    return hidden + flat.view_as(hidden)


class _Move(torch.autograd.Function):
    """Rows in another order. What comes back goes the other way, which is cheaper than adding it up."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, order: Tensor, back: Tensor) -> Tensor:
        ctx.save_for_backward(back)
        return rows[order]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (back,) = ctx.saved_tensors
        return gradients[0][back], None, None


def _moved(
    rows: Float[Tensor, " row *width"],
    order: Int64[Tensor, " row"] | None,
    back: Int64[Tensor, " row"] | None,
) -> Float[Tensor, " row *width"]:
    """The rows in this order, of which `back` is the way back; as they are without one."""
    return rows if order is None else _Move.apply(rows, order, back)  # type: ignore[no-any-return]


def forget_layouts() -> None:
    """Let go of all that is kept between passes: it is of another kind where tensors have no data."""
    _layout.cache_clear()
    _of_each_value.cache_clear()


@lru_cache(maxsize=16)
def _of_each_value(colours: tuple[float, ...], size: int, device: torch.device) -> Float[Tensor, " value"]:
    """A number for each colour, repeated for each of a patch's `size` values of that colour; kept on the device, as
    copying it there would make every pass wait."""
    return torch.tensor(colours, device=device).repeat_interleave(size)


@lru_cache(maxsize=16)
def _layout(
    grids: Grids, merge: int, window: int | None, grid_side: int | None, device: torch.device
) -> Layout:
    """The layout of pictures with so many patches downwards and across."""
    tokens = [(rows // merge, columns // merge) for rows, columns in grids]
    places = np.concatenate([_places(rows, columns, merge) for rows, columns in grids])
    order, back, seen = None, None, places
    sizes = [rows * columns for rows, columns in tokens]
    if window is not None:
        order, sizes = _windows(tokens, window)
        back = np.argsort(order)
        seen = places.reshape(len(order), merge**2, 2)[order].reshape(-1, 2)
    corners, weights = _between(grids, places, grid_side) if grid_side else (None, None)

    def on_device(array: Any) -> Any:
        return None if array is None else torch.from_numpy(array).to(device)

    return Layout(
        places=on_device(seen),
        order=on_device(order),
        back=on_device(back),
        pictures=Segments.end_to_end([rows * columns for rows, columns in grids]),
        windows=Segments.end_to_end([size * merge**2 for size in sizes]),
        whole=torch.tensor([0, len(places)], dtype=torch.int32),
        corners=on_device(corners),
        weights=on_device(weights),
    )


def _places(rows: int, columns: int, merge: int) -> Int64[np.ndarray, "patch 2"]:
    """Row and column of every patch: tokens from left to right and top to bottom, patches likewise within."""
    row, column = np.divmod(np.arange(rows * columns), columns)
    blocks = (rows // merge, merge, columns // merge, merge)
    return np.stack([axis.reshape(blocks).transpose(0, 2, 1, 3).ravel() for axis in (row, column)], axis=1)


def _windows(tokens: list[tuple[int, int]], side: int) -> tuple[Int64[np.ndarray, " token"], list[int]]:
    """Tokens in the order of the windows that they lie in (from left to right and top to bottom), and tokens in
    each window."""
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
    """The four entries of a square grid that each patch lies between when the grid is stretched over its picture
    corner to corner, and the share of each (bilinear interpolation)."""
    sizes = np.repeat(np.array(grids), [rows * columns for rows, columns in grids], axis=0)
    exact = places.astype(np.float32) * (side - 1) / np.maximum(sizes - 1, 1).astype(np.float32)
    low = np.floor(exact).astype(np.int64)
    high = np.minimum(low + 1, side - 1)
    share = exact - low
    corners, weights = [], []
    for row, of_row in ((low[:, 0], 1 - share[:, 0]), (high[:, 0], share[:, 0])):
        for column, of_column in ((low[:, 1], 1 - share[:, 1]), (high[:, 1], share[:, 1])):
            corners.append(row * side + column)
            weights.append(of_row * of_column)
    return np.stack(corners, axis=1), np.stack(weights, axis=1).astype(np.float32)


def _rotation(
    places: Int64[Tensor, "patch 2"], frequencies: Float[Tensor, " frequency"]
) -> tuple[Float[Tensor, "patch width"], Float[Tensor, "patch width"]]:
    """Cosine and sine by which each patch's queries and keys are turned: rows in one half, columns in the other
    (Wang et al. 2024, Qwen2-VL, section 2.1)."""
    angles = (places[..., None].float() * frequencies.float().to(places.device)).flatten(1)
    angles = torch.cat([angles, angles], dim=-1)
    return angles.cos(), angles.sin()
