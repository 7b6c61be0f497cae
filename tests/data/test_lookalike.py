import time

import numpy as np
import pytest
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from tunesmith.data import lookalike
from tunesmith.data.clusters import Clusters
from tunesmith.data.keys import Seen
from tunesmith.data.lookalike import link, near_hashes, versions


def hashes(count, seed=0, families=40):
    """Hashes in families: members differ from the first in up to six bits."""
    chance = np.random.default_rng(seed)
    firsts = chance.integers(0, 2**64, families, dtype=np.uint64)
    made = firsts[chance.integers(0, families, count)]
    for _ in range(6):
        flip = np.uint64(1) << chance.integers(0, 64, count, dtype=np.uint64)
        made = np.where(chance.random(count) < 0.5, made ^ flip, made)
    return np.unique(made)


def same(one, other):
    """True if both number the same clusters."""
    return len(np.unique(np.stack([one, other]), axis=1).T) == len(np.unique(one)) == len(np.unique(other))


@pytest.mark.parametrize("bits", [0, 1, 3, 4, 7, 16])
def test_all_pairs_within_the_bits_are_found_and_no_others(bits):
    given = hashes(600, seed=bits)
    apart = np.bitwise_count(given[:, None] ^ given[None])
    _, expected = connected_components(coo_array(apart <= bits))
    assert same(near_hashes(given, bits), expected)


def seen(content, look, record=None):
    record = range(len(content)) if record is None else record
    return Seen(np.array(record), np.array(content, np.uint64), np.array(look, np.uint64))


FULL = 0x0F0F_0F0F_0F0F_0F0F


def test_versions_are_the_same_file_or_hashes_of_few_different_bits():
    given = seen([1, 2, 3, 4, 1], [FULL, FULL ^ 0b1111, FULL ^ 0b11111, FULL ^ (0b111 << 20), FULL])
    found = versions(given, 4).tolist()
    assert found == [0, 0, 0, 0, 0]
    assert versions(given, 2).tolist() == [0, 1, 1, 3, 0]
    assert versions(given, None).tolist() == [0, 1, 2, 3, 0]
    assert versions(None, 4) is None


def test_equal_hashes_of_different_files_are_versions():
    assert versions(seen([1, 2, 3], [FULL, FULL, ~FULL % 2**64]), 0).tolist() == [0, 0, 2]


def test_pictures_of_one_colour_are_the_same_only_if_the_file_is():
    blank = [0, 0, 1 << 63, 1 << 63, 0xAA << 56]
    assert versions(seen([1, 2, 3, 3, 4], blank), 16).tolist() == [0, 1, 2, 2, 3]


def test_records_that_share_a_picture_are_linked_whatever_else_they_show():
    given = seen([1, 2, 2, 3, 9], [FULL] + [0] * 4, record=[0, 0, 3, 3, 4])
    clusters = Clusters(5)
    link(clusters, given, versions(given, 4))
    assert clusters.roots().tolist() == [0, 1, 2, 0, 4]


def test_masses_of_hashes_that_are_all_but_equal_do_not_take_for_ever(monkeypatch):
    monkeypatch.setattr(lookalike, "_MOST_NEIGHBOURS", 64)
    chance = np.random.default_rng(1)
    many = np.unique(np.uint64(FULL) ^ (chance.integers(0, 2**20, 60_000, dtype=np.uint64) << np.uint64(40)))
    start = time.perf_counter()
    found = near_hashes(many, 4)
    assert time.perf_counter() - start < 10
    assert len(np.unique(found)) < len(many) / 50
