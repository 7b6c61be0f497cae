"""The layout of patches in a vision tower, beside transformers' own functions."""

from __future__ import annotations

import pytest
import torch
from transformers.vision_utils import (
    get_vision_interpolation_indices_and_weights,
    get_vision_position_ids,
    get_vision_window_index,
)

from tests.model.families.pictures import picture, seeing
from tests.tiny import tiny_seeing_model
from tunesmith.model.families._vision_tower import _layout, _permuted, add_at
from tunesmith.records.conversation import Conversation, Text, Turn

GRIDS = ((16, 16), (4, 26), (10, 6), (2, 2))
THW = torch.tensor([[1, *grid] for grid in GRIDS])
CPU = torch.device("cpu")


def test_places_are_those_of_transformers() -> None:
    layout = _layout(GRIDS, 2, None, None, CPU)
    assert torch.equal(layout.positions, get_vision_position_ids(THW, 2))
    assert layout.pictures.lengths.tolist() == [256, 104, 60, 4]
    assert layout.order is None


@pytest.mark.parametrize("side", [1, 2, 4, 100])
def test_windows_are_those_of_transformers(side: int) -> None:
    layout = _layout(GRIDS, 2, side, None, CPU)
    order, ends = get_vision_window_index(THW, spatial_merge_size=2, window_size=side * 28, patch_size=14)
    assert torch.equal(layout.order, order)
    assert torch.equal(layout.windows.boundaries, ends)
    assert torch.equal(layout.order[layout.inverse], torch.arange(len(order)))


def test_the_learnt_grid_is_stretched_as_in_transformers() -> None:
    layout = _layout(GRIDS, 2, None, 8, CPU)
    table = torch.randn(64, 5)
    corners, weights = get_vision_interpolation_indices_and_weights(
        THW, num_grid_per_side=8, mode="bilinear", align_corners=True, spatial_merge_size=2
    )
    wanted = (table[corners] * weights[..., None]).sum(1)
    torch.testing.assert_close((table[layout.corners] * layout.weights[..., None]).sum(1), wanted)


def test_moved_rows_have_the_gradient_of_an_index() -> None:
    rows = torch.randn(6, 3, dtype=torch.float64, requires_grad=True)
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    assert torch.equal(_permuted(rows, order, order.argsort()), rows[order])
    assert torch.autograd.gradcheck(lambda rows: _permuted(rows, order, order.argsort()) ** 2, rows)


def test_what_was_seen_is_added_by_index_or_by_mask() -> None:
    hidden, seen = torch.randn(2, 3, 4), torch.randn(2, 4)
    mask = torch.tensor([[False, True, False], [False, False, True]])
    wanted = hidden.clone()
    wanted[mask] += seen
    assert torch.equal(add_at(hidden, mask, seen), wanted)
    assert torch.equal(add_at(hidden, torch.tensor([1, 5]), seen), wanted)


def test_the_patch_embedding_is_trained_like_the_convolution_that_it_is(tmp_path) -> None:  # type: ignore[no-untyped-def]
    """Both slices in time of the convolution's kernel get the same gradient, for the picture is shown twice."""
    loaded = seeing(tiny_seeing_model(tmp_path, "qwen2_vl"))
    from tunesmith.batching.collator import collate
    from tunesmith.train.loss import answer_loss

    asked = Conversation("p:1", (Turn("user", (picture(tmp_path, 60, 60), Text("?"))),), "noise")
    loaded.model.requires_grad_(True)
    answer_loss(loaded, collate([loaded.family.render(asked)])).backward()
    gradient = loaded.model.model.visual.patch_embed.proj.weight.grad
    assert gradient is not None
    assert gradient.abs().sum() > 0
    assert torch.equal(gradient[:, :, 0], gradient[:, :, 1])
