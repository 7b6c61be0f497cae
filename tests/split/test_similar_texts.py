import random

import pytest

from tunesmith.runs.manifest import DedupFields
from tunesmith.split.dedup_keys import KeyBuilder
from tunesmith.split.similar_texts import AlikeBuilder
from tunesmith.split.union_find import Clusters

CODE = """def total(values, start):
    found = start
    for one in values:
        found += one * 2
    return found

def mean(values):
    return total(values, 0) / len(values)
"""


def clusters_of(tmp_path, texts):
    keys, builder = KeyBuilder(DedupFields(("text",), True)), AlikeBuilder(tmp_path / "alike", 0.85)
    for number, text in enumerate(texts):
        builder.add(number, *keys.add(f"t:{number}", "0" * 64, {"text": text}))
    alike = builder.similar_texts(keys.keys(), lambda what, done: None)
    clusters = Clusters(len(texts))
    alike.link(clusters)
    return clusters.roots().tolist()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Is it so?", "IS IT SO"),
        ("One, two; three.", "One two three!"),
        ("Tom &amp; <i>Jerry</i>", "tom & jerry"),
        (CODE, CODE.replace("values", "numbers").replace("found", "result").replace("total", "add_up")),
        (CODE, CODE.replace("    ", "\t")),
        ("これはとても良い日本語の文章です。", "これはとても良い日本語の文書です。"),
    ],
)
def test_texts_that_look_alike_are_one_cluster(tmp_path, one, other):
    assert clusters_of(tmp_path, ["something else", one, other]) == [0, 1, 1]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("It is so?", "It is so."),
        ("(a, b]", "[a, b)"),
        ("What is 12 * 3?", "What is 12 - 3?"),
        (CODE, CODE.replace("+=", "-=")),
        ("a red cat sleeps", "a red dog sleeps"),
    ],
)
def test_texts_that_ask_something_else_are_two(tmp_path, one, other):
    assert clusters_of(tmp_path, [one, other]) == [0, 1]


def test_other_punctuation_of_a_long_text_does_not_matter(tmp_path):
    text = " ".join(random.Random(1).choices(["north", "wind", "and", "sun"], k=40))
    assert clusters_of(tmp_path, [f"{text}: so?", f"{text}; so."]) == [0, 0]


def test_many_ways_to_write_one_short_text_are_compared_with_their_neighbours_only(tmp_path):
    texts = ["yes" + "." * dots + ":" * colons for dots in range(8) for colons in range(8)]
    assert len(set(clusters_of(tmp_path, texts))) < 64
