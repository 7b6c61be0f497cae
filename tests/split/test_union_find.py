import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from tunesmith.split.union_find import Clusters


@given(st.lists(st.tuples(st.integers(0, 29), st.integers(0, 29)), max_size=60), st.integers(1, 4))
def test_clusters_are_the_connected_components_however_the_links_come(links, parts):
    clusters = Clusters(30)
    for part in range(parts):
        pairs = np.array(links[part::parts], dtype=np.int64).reshape(-1, 2)
        clusters.link(pairs[:, 0], pairs[:, 1])
    rows, columns = np.array(links, dtype=np.int64).reshape(-1, 2).T
    _, expected = connected_components(
        coo_array((np.ones(len(rows)), (rows, columns)), (30, 30)), directed=False
    )
    roots = clusters.roots()
    assert ((roots[:, None] == roots) == (expected[:, None] == expected)).all()


def test_equal_keys_are_linked_and_repeats_counted():
    clusters = Clusters(5)
    assert clusters.link_equal(np.array([7, 8, 7, 9, 7], np.uint64)) == 2
    assert clusters.roots().tolist() == [0, 1, 0, 3, 0]


def test_a_long_chain_is_one_cluster():
    clusters = Clusters(100_000)
    clusters.link(np.arange(99_999), np.arange(1, 100_000))
    assert not clusters.roots().any()
