"""Which pictures may look alike: candidates by low frequencies of the cosine transform.

Perceptual hashes compare these frequencies (Zauner 2010, section 3.2). Mirroring a picture changes only signs of
frequencies, a quarter turn swaps rows and columns, and inverting changes all signs. Sums and differences of
magnitudes know nothing of any of these, so one search finds all of them. It compares crops of every picture with all
whole pictures, so that a crop, or a picture without its frame, meets what it was cut from.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from jaxtyping import Float32, Int, UInt8

from tunesmith.images.thumbnails import SIDE
from tunesmith.records.progress import Report

Crop = tuple[float, float, float, float]
"""Shares that are cut off: left, right, top, bottom."""
Turn = tuple[bool, bool, bool]
"""Rows and columns are swapped; then columns are reversed; then rows."""

WHOLE: Crop = (0.0, 0.0, 0.0, 0.0)
_FREQUENCIES = 8
"""How many of the lowest frequencies are compared, each way."""
_CUTS = ((0.0, 0.0), (0.05, 0.05), (0.1, 0.1), (0.05, 0.0), (0.0, 0.05), (0.12, 0.0), (0.0, 0.12))
"""Shares that are cut off at the two ends of a side; all combinations of the two sides are tried."""
_MOST_COMPARISONS = len(_CUTS) ** 2 * 20_000**2
"""Of crops with whole pictures: with more than 20,000 pictures fewer crops are tried, with 140,000 none."""
_LEAST_CONTRAST = 4
"""Grey levels between the darkest and lightest pixel; with less there is nothing to compare."""
_AT_ONCE = 32
_NEIGHBOURS = 8
"""Whole pictures that are looked at for each one, those with the likest magnitudes."""
_MOST_CANDIDATES = 4
"""Of these, how many are candidates, those with the highest correlation."""
_LEAST_LIKENESS = 0.5
_LEAST_CORRELATION = 0.75
_TURNS: tuple[Turn, ...] = tuple((a, b, c) for a, b, c in product((False, True), repeat=3))
_SIGNS = ((-1.0) ** np.arange(_FREQUENCIES)).astype(np.float32)

Spectra = Float32[np.ndarray, "*any 8 8"]


@dataclass(frozen=True)
class Placement:
    """How a whole picture may lie in another one."""

    crop: Crop
    """What is cut off the other one."""
    turn: Turn
    """How the whole one is turned first."""
    inverted: bool


@dataclass(frozen=True)
class Candidate:
    """Two pictures, by their numbers, that may look alike."""

    outer: int
    whole: int
    placements: tuple[Placement, ...]
    """Where the whole one may lie in the outer one, the likeliest first."""


def candidates(thumbnails: UInt8[np.ndarray, "picture 96 96"], report: Report) -> Iterator[Candidate]:
    """For every picture at most four others that may look alike; a pair may come from both its members."""
    told = _with_contrast(thumbnails)
    if len(told) < 2:
        return
    crops = _crops(len(told))
    whole = np.concatenate(
        [spectra(thumbnails[told[start : start + 512]], [WHOLE])[:, 0] for start in range(0, len(told), 512)]
    )
    magnitudes = _magnitudes(whole)
    middle = magnitudes.mean(axis=0)
    magnitudes = _unit(magnitudes - middle)
    for start in range(0, len(told), _AT_ONCE):
        report("looking for look-alike pictures", start)
        some = told[start : start + _AT_ONCE]
        cropped = spectra(thumbnails[some], crops)
        asked = _unit(_magnitudes(cropped) - middle).reshape(-1, magnitudes.shape[1])
        likeness = (asked @ magnitudes.T).reshape(len(some), len(crops), len(told)).max(axis=1)
        likeness[np.arange(len(some)), start + np.arange(len(some))] = -1
        most = min(_NEIGHBOURS, len(told) - 1)
        nearest = np.argpartition(-likeness, most - 1, axis=1)[:, :most]
        for at, near in enumerate(nearest):
            near = near[likeness[at, near] >= _LEAST_LIKENESS]
            yield from _likeliest(int(some[at]), cropped[at], crops, told[near], whole[near])


def _with_contrast(thumbnails: UInt8[np.ndarray, "picture 96 96"]) -> Int[np.ndarray, " told"]:
    """Numbers of the pictures in which there is anything to compare."""
    spans = [
        np.ptp(thumbnails[start : start + 1024].reshape(-1, SIDE**2), axis=1)
        for start in range(0, len(thumbnails), 1024)
    ]
    return np.flatnonzero(np.concatenate([np.empty(0, np.uint8), *spans]) >= _LEAST_CONTRAST)


def _crops(number: int) -> list[Crop]:
    """The crops to try for this number of pictures, no crop first."""
    crops: list[Crop] = [(*across, *down) for down in _CUTS for across in _CUTS]
    return sorted(crops, key=sum)[: max(1, _MOST_COMPARISONS // number**2)]


def _likeliest(
    outer: int,
    cropped: Float32[np.ndarray, "crop 8 8"],
    crops: Sequence[Crop],
    near: Int[np.ndarray, " near"],
    whole: Float32[np.ndarray, "near 8 8"],
) -> Iterator[Candidate]:
    """Candidates among the nearest, by correlation of their frequencies with the signs."""
    found = []
    for number, one in zip(near.tolist(), whole, strict=True):
        turned = np.stack([_turned(one, turn) for turn in _TURNS])
        match = np.tensordot(cropped, turned, axes=((1, 2), (1, 2)))
        placed = [_best(match, crops)]
        if placed[0][1].crop != WHOLE:
            placed.append(_best(match[:1], crops))
        fine = tuple(placement for value, placement in placed if value >= _LEAST_CORRELATION)
        if fine:
            found.append((placed[0][0], Candidate(outer, number, fine)))
    yield from (one for _, one in sorted(found, key=lambda pair: -pair[0])[:_MOST_CANDIDATES])


def _best(match: Float32[np.ndarray, "crop 8"], crops: Sequence[Crop]) -> tuple[float, Placement]:
    crop, turn = divmod(int(np.abs(match).argmax()), len(_TURNS))
    value = float(match[crop, turn])
    return abs(value), Placement(crops[crop], _TURNS[turn], value < 0)


def spectra(
    thumbnails: UInt8[np.ndarray, "picture 96 96"], crops: Sequence[Crop]
) -> Float32[np.ndarray, "picture crop 8 8"]:
    """The lowest frequencies of crops of each picture, of length 1 together; the mean grey is left out."""
    across = list(dict.fromkeys(crop[:2] for crop in crops))
    down = list(dict.fromkeys(crop[2:] for crop in crops))
    x = np.concatenate([_waves(*cut) for cut in across])
    y = np.concatenate([_waves(*cut) for cut in down])
    both = np.matmul(y, np.matmul(thumbnails.astype(np.float32), x.T))
    both = both.reshape(len(both), len(down), _FREQUENCIES, len(across), _FREQUENCIES)
    found = np.stack([both[:, down.index(crop[2:]), :, across.index(crop[:2])] for crop in crops], axis=1)
    found[..., 0, 0] = 0
    return found / np.maximum(np.sqrt((found**2).sum((-1, -2), keepdims=True)), 1e-6)


def _waves(first: float, last: float) -> Float32[np.ndarray, "8 96"]:
    """Cosines over what is left of a side, of length 1 each."""
    place = ((np.arange(SIDE) + 0.5) / SIDE - first) / (1 - first - last)
    inside = (place > 0) & (place < 1)
    waves = np.cos(np.pi * np.arange(_FREQUENCIES)[:, None] * place) * inside
    waves[1:] -= waves[1:].sum(axis=1, keepdims=True) / inside.sum() * inside
    return (waves / np.linalg.norm(waves, axis=1, keepdims=True)).astype(np.float32)


def _magnitudes(found: Spectra) -> Float32[np.ndarray, "*any 63"]:
    """Roots of sums and differences of magnitudes, which turns, mirrors and inversion leave as they are."""
    size = np.abs(found)
    turned = size.swapaxes(-1, -2)
    rows, columns = np.triu_indices(_FREQUENCIES, 1)
    each = np.arange(1, _FREQUENCIES)
    parts = (
        (size + turned)[..., rows, columns],
        np.abs(size - turned)[..., rows, columns],
        size[..., each, each] * 2**0.5,
    )
    return np.sqrt(np.concatenate(parts, axis=-1)).astype(np.float32)


def _unit(values: Float32[np.ndarray, "*any 63"]) -> Float32[np.ndarray, "*any 63"]:
    return values / np.maximum(np.linalg.norm(values, axis=-1, keepdims=True), 1e-6)


def _turned(spectrum: Float32[np.ndarray, "8 8"], turn: Turn) -> Float32[np.ndarray, "8 8"]:
    swapped, across, down = turn
    spectrum = spectrum.T if swapped else spectrum
    spectrum = spectrum * _SIGNS if across else spectrum
    return spectrum * _SIGNS[:, None] if down else spectrum
