"""How far two pictures agree once they are laid over one another: what tells versions of one picture from pictures
that are merely of one kind.

The thumbnails are aligned by the enhanced correlation coefficient (Evangelidis and Psarakis 2008; OpenCV), and their
correlation is taken in small windows, weighed by how much there is to see in each. Two copies of a form that are
filled in otherwise agree in the print and not in the entries, which lie all over; a watermark lies in one place.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float32, UInt8

from tunesmith.images.thumbnails import FINE_SIDE, SIDE
from tunesmith.split.image_candidates import Placement

_STEPS = ((48, 30, 5), (SIDE, 8, 3))
"""Side in pixels, rounds, and width of the blur, of the steps of alignment."""
_LAST_STEP = ((FINE_SIDE, 8, 5),)
_MOST_SCALED = 0.12
_MOST_TURNED = 0.07
"""How far alignment may change scale and angle (radians) from the placement that was found."""
_LEAST_SHARED = 0.6
"""Share of the picture that must lie in the other one."""
_WINDOW = {SIDE: 7, FINE_SIDE: 13}
"""Pixels of a window, each way."""
_BLUR = {SIDE: 0.7, FINE_SIDE: 1.2}
"""Standard deviation in pixels."""
_NOISE = 0.1
"""Variance in squared grey levels that says nothing."""
_POWER = 0.75
"""Of a window's variance, by which it is weighed: what is strong counts more than noise."""
_DIFFERENT = 0.5
"""A window with less correlation shows something else."""
_ONE_PLACE = 0.045
"""Standard deviation, as a share of the side, of the differing windows of one mark across its line."""
_COST_ALL_OVER = 4.0
_COST_ONE_PLACE = 0.2
"""What the share of differing windows takes from the agreement."""

Grey = Float32[np.ndarray, "side side"]
Warp = Float32[np.ndarray, "2 3"]


def aligned(
    outer: UInt8[np.ndarray, "96 96"], whole: UInt8[np.ndarray, "96 96"], placement: Placement
) -> Warp | None:
    """The affine map, in shares of the sides, by which a whole picture lies in the outer one, or None if it does not
    lie near the placement."""
    left, right, top, bottom = placement.crop
    start = np.array([[1 - left - right, 0, left], [0, 1 - top - bottom, top]], np.float32)
    warp = _refined(_wanted(whole, placement), outer.astype(np.float32), start, _STEPS)
    moved = np.abs(warp - start)
    near = max(moved[0, 0], moved[1, 1]) <= _MOST_SCALED and max(moved[0, 1], moved[1, 0]) <= _MOST_TURNED
    return warp if near else None


def agreement(
    outer: UInt8[np.ndarray, "side side"],
    whole: UInt8[np.ndarray, "side side"],
    placement: Placement,
    warp: Warp,
) -> float:
    """Agreement, at most 1, of a whole picture with the part of the outer one in which it lies, in coarse or in fine
    thumbnails."""
    import cv2

    side = len(whole)
    wanted, given = _wanted(whole, placement), outer.astype(np.float32)
    if side == FINE_SIDE:
        warp = _refined(wanted, given, warp, _LAST_STEP)
    centres = _between_centres(warp, side)
    how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    part = cv2.warpAffine(given, centres, (side, side), flags=how, borderMode=cv2.BORDER_REPLICATE)
    covered = cv2.warpAffine(np.ones_like(given), centres, (side, side), flags=how)
    shared = (np.asarray(covered) > 0.99).astype(np.float32)
    return _agreement(np.asarray(part), wanted, shared) if shared.mean() > _LEAST_SHARED else 0.0


def _wanted(whole: UInt8[np.ndarray, "side side"], placement: Placement) -> Grey:
    grey = turned(whole, placement.turn).astype(np.float32)
    return 255 - grey if placement.inverted else grey


def turned(
    thumbnail: UInt8[np.ndarray, "side side"], turn: tuple[bool, bool, bool]
) -> UInt8[np.ndarray, "side side"]:
    """The thumbnail with rows and columns swapped, columns reversed and rows reversed, as said."""
    swapped, across, down = turn
    thumbnail = thumbnail.T if swapped else thumbnail
    thumbnail = thumbnail[:, ::-1] if across else thumbnail
    return np.ascontiguousarray(thumbnail[::-1] if down else thumbnail)


def _refined(wanted: Grey, given: Grey, warp: Warp, steps: Sequence[tuple[int, int, int]]) -> Warp:
    """The affine map from the wanted picture into the given one that correlates best near the one given."""
    import cv2

    for side, rounds, blur in steps:
        small = [cv2.resize(one, (side, side), interpolation=cv2.INTER_AREA) for one in (wanted, given)]
        ends = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, rounds, 1e-3)
        try:
            _, found = cv2.findTransformECC(
                small[0],
                small[1],
                _between_centres(warp, side),
                cv2.MOTION_AFFINE,
                ends,
                np.ones((side, side), np.uint8),
                blur,
            )
        except cv2.error:  # It does not converge: what is there lies elsewhere, or is something else.
            return warp
        shift = 0.5 * (1 - found[:, :2].sum(axis=1))
        warp = np.column_stack([found[:, :2], (found[:, 2] + shift) / side]).astype(np.float32)
    return warp


def _between_centres(warp: Warp, side: int) -> Warp:
    """The map between centres of pixels, as OpenCV counts, in thumbnails of this side."""
    shift = 0.5 * (warp[:, :2].sum(axis=1) - 1)
    return np.column_stack([warp[:, :2], warp[:, 2] * side + shift]).astype(np.float32)


def _agreement(one: Grey, other: Grey, shared: Grey) -> float:
    """Mean correlation in windows, less what differs."""
    import cv2

    side = len(one)
    one, other = (np.asarray(cv2.GaussianBlur(values, (0, 0), _BLUR[side])) for values in (one, other))

    def total(values: Grey) -> Grey:
        window = (_WINDOW[side], _WINDOW[side])
        return np.asarray(cv2.boxFilter(values * shared, -1, window, borderType=cv2.BORDER_CONSTANT))

    weight = np.maximum(total(np.ones_like(one)), 1e-3)
    mean_one, mean_other = total(one) / weight, total(other) / weight
    var_one = np.maximum(total(one * one) / weight - mean_one**2, 0)
    var_other = np.maximum(total(other * other) / weight - mean_other**2, 0)
    both = total(one * other) / weight - mean_one * mean_other
    gain = np.sqrt(((var_one * shared).sum() + 1) / ((var_other * shared).sum() + 1))
    local = both / np.sqrt((var_one + _NOISE * max(gain, 1)) * (var_other + _NOISE))
    seen = shared * (var_one + gain**2 * var_other) ** _POWER
    seen /= max(float(seen.sum()), 1e-6)
    differs = seen * (local < _DIFFERENT)
    cost = _COST_ONE_PLACE if _is_one_place(differs) else _COST_ALL_OVER
    return float((seen * local).sum() - cost * differs.sum())


def _is_one_place(differs: Grey) -> bool:
    """True if what differs lies close to one line along a side."""
    total = float(differs.sum())
    if not total:
        return True
    at = (np.arange(len(differs)) + 0.5) / len(differs)
    spreads = []
    for axis in (0, 1):
        shares = differs.sum(axis=axis) / total
        mean = float((shares * at).sum())
        spreads.append(float(np.sqrt((shares * (at - mean) ** 2).sum())))
    return min(spreads) < _ONE_PLACE
