import pytest
from benchmarks.rows import mutated, outcome, tried


@pytest.mark.parametrize("first", [0, 40])
def test_every_mutated_file_ends_in_data_or_a_clear_error(tmp_path, first):
    ends = {seed: tried(seed, tmp_path) for seed in range(first, first + 40)}
    assert {seed: end.told for seed, end in ends.items() if end.kind == "crash"} == {}
    assert {end.kind for end in ends.values()} == {"data", "error"}


def test_a_case_is_the_same_for_the_same_seed():
    assert mutated(3) == mutated(3) != mutated(4)


def test_a_whole_file_ends_in_data(tmp_path):
    rows = "\n".join(f'{{"text": "{word}", "label": "x"}}' for word in ("one", "two", "three"))
    (tmp_path / "rows.jsonl").write_text(rows)
    end = outcome(
        {"kind": "jsonl", "path": "rows.jsonl"},
        {"kind": "answer", "prompt": "{text}", "field": "label"},
        tmp_path,
    )
    assert (end.kind, "'test': 1" in end.told) == ("data", True)
