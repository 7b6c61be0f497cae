import re

from benchmarks.duplicates import text


def test_every_kind_of_duplicate_is_found_and_nothing_else_is_taken_for_one():
    table = text.table(num_records=1400, num_pairs=10, seed=3)
    shares = {
        kind: float(share) for kind, share in re.findall(r"^\| (.*) \| ([\d.]+)% \|$", table, re.MULTILINE)
    }
    wrong = {
        kind: int(number)
        for kind, number in re.findall(r"^\| (.*) \| (\d+)(?: of 100)? \|$", table, re.MULTILINE)
    }
    duplicates = list(shares)[: list(shares).index("4 words, one changed")]
    assert len(duplicates) > 30
    assert sum(shares[kind] < 80 for kind in duplicates) == 0
    assert sum(shares[kind] for kind in duplicates) / len(duplicates) > 98
    assert all(shares[kind] == 0 for kind in shares if kind not in duplicates)
    assert len(wrong) == 15
    assert sum(wrong.values()) == 0
