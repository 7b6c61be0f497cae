import random
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunesmith.data import similar
from tunesmith.data.clusters import Clusters
from tunesmith.data.keys import hash64
from tunesmith.data.normalise import words
from tunesmith.data.similar import Signatures, band_rows, fewest_pairs, mix, word_pairs


def pairs_of(text: str) -> set[tuple[str, str]]:
    return set(pairwise(words(text)))


@given(st.lists(st.lists(st.sampled_from(["a", "b", "c", "ab", ""])), min_size=1))
def test_hashes_stand_for_pairs_of_words_in_their_order_within_one_text(texts):
    hashed = [set(pairs.tolist()) for pairs in word_pairs(texts)]
    pairs = [set(pairwise(text)) for text in texts]
    for one, its_pairs in zip(hashed, pairs, strict=True):
        for other, other_pairs in zip(hashed, pairs, strict=True):
            assert len(one & other) == len(its_pairs & other_pairs)


def jaccard(one: set[str], other: set[str]) -> float:
    return len(one & other) / len(one | other)


def near_clusters(tmp_path, texts, near=0.9):
    signatures = Signatures(tmp_path / "signatures", near)
    for index, text in enumerate(texts):
        signatures.add(index, text)
    clusters = Clusters(len(texts))
    num = signatures.link(
        clusters, np.array([hash64(text) for text in texts], np.uint64), lambda what, done: None
    )
    assert num == len(texts) - len(set(clusters.roots().tolist()))
    return clusters.roots().tolist()


def test_texts_at_the_threshold_are_compared_exactly(tmp_path):
    chance = random.Random(4)
    texts, alike = [], []
    for _ in range(150):
        base = article(chance, 40).split()
        at = chance.randint(1, 39)
        texts += [" ".join(base), " ".join([*base[:at], "changed", *base[at + chance.randint(0, 2) :]])]
        alike.append(jaccard(pairs_of(texts[-2]), pairs_of(texts[-1])))
    roots = near_clusters(tmp_path, texts)
    met = [roots[2 * pair] == roots[2 * pair + 1] for pair in range(150)]
    assert met == [similarity >= 0.9 for similarity in alike]
    assert 20 < sum(met) < 130


def article(chance, length=60):
    return " ".join(f"w{chance.randrange(5000)}" for _ in range(length))


def test_texts_with_one_word_changed_are_found_and_others_are_not(tmp_path):
    chance = random.Random(1)
    texts = [article(chance) for _ in range(300)]
    changed = [" ".join([*text.split()[:30], "CHANGED", *text.split()[31:]]) for text in texts[:50]]
    assert min(map(lambda one, other: jaccard(pairs_of(one), pairs_of(other)), texts, changed)) >= 0.9
    roots = near_clusters(tmp_path, [*texts, *changed])
    assert roots == [*range(300), *range(50)]


@pytest.mark.parametrize("near", [0.5, 0.7, 0.9])
def test_pairs_clearly_above_the_threshold_meet_and_pairs_clearly_below_do_not(tmp_path, near):
    chance = random.Random(2)
    texts, alike = [], []
    for _ in range(200):
        base = article(chance).split()
        keep = chance.randint(10, 60)
        other = base[:keep] + article(chance, 60 - keep).split()
        texts += [" ".join(base), " ".join(other)]
        alike.append(jaccard(pairs_of(texts[-2]), pairs_of(texts[-1])))
    roots = near_clusters(tmp_path, texts, near)
    met = np.array([roots[2 * pair] == roots[2 * pair + 1] for pair in range(200)])
    # Four standard errors of an estimate from 256 minima.
    margin = 4 * (near * (1 - near) / 256) ** 0.5
    alike = np.array(alike)
    assert met[alike > near + margin].all()
    assert not met[alike < near - margin].any()
    assert 10 < (alike > near).sum() < 180


def test_rows_of_one_template_that_are_not_near_stay_apart_in_linear_time(tmp_path, monkeypatch):
    chance = random.Random(3)
    template = " ".join(f"t{i}" for i in range(40))
    texts = [f"{template} {article(chance, 12)}" for _ in range(2000)]
    compared = []
    agreement = similar._agreement
    monkeypatch.setattr(
        similar, "_agreement", lambda *given: compared.append(len(given[1])) or agreement(*given)
    )
    assert len(set(near_clusters(tmp_path, texts))) > 1990
    assert sum(compared) < 2000 * 256 // band_rows(0.9) * 8


def test_rows_of_one_template_that_are_near_become_one_cluster(tmp_path):
    template = " ".join(f"t{i}" for i in range(100))
    assert set(near_clusters(tmp_path, [f"{template} x{i}" for i in range(500)])) == {0}


def test_short_texts_are_only_compared_exactly(tmp_path):
    texts = ["one two three four five six seven eight", "one two three four five six seven eight nine"]
    assert near_clusters(tmp_path, texts) == [0, 1]


@given(st.sets(st.integers(0, 30)), st.sets(st.integers(0, 30)), st.sampled_from([0.5, 0.8, 0.9, 0.95]))
def test_no_text_that_is_left_out_as_too_short_could_be_near_another(one, other, near):
    if one != other and min(len(one), len(other)) < near / (1 - near) and fewest_pairs(near) > 4:
        assert jaccard({str(item) for item in one}, {str(item) for item in other}) < near


@pytest.mark.parametrize("near", [0.05, 0.3, 0.5, 0.7, 0.9, 0.99, 1.0])
def test_bands_let_nearly_all_pairs_at_the_threshold_meet(near):
    rows = band_rows(near)
    assert 1 - (1 - near**rows) ** (256 // rows) >= 0.995


def test_mixing_has_the_values_of_the_reference():
    # First outputs of SplitMix64 from seed 0: state k times the golden gamma.
    states = np.arange(3, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    assert [hex(value) for value in mix(states)] == [
        "0xe220a8397b1dcdaf",
        "0x6e789e6aa1b965f4",
        "0x6c45d188009454f",
    ]
