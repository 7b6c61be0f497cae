import numpy as np
import pytest

from tunesmith.records.store import RecordStore, write_store
from tunesmith.runs.manifest import DedupFields
from tunesmith.split.assign import Amount
from tunesmith.split.dedup_keys import KeyBuilder
from tunesmith.split.remarks import Remarks
from tunesmith.split.sides import Side

TEST = Amount(Side.TEST, 100, 0.1, "data.split.holdout")


@pytest.fixture
def remarks(tmp_path):
    """A call that looks at a split of 1,000 records, given which are held out, their answers and their clusters."""

    def look(held, answers=None, roots=None, told=None, asked=(TEST,), adjusted=()):
        keys = KeyBuilder(told or DedupFields(("text",), True))
        with write_store(tmp_path / "r.arrow") as writer:
            for number in range(1000):
                answer = answers[number] if answers else None
                keys.add(
                    f"f:{number}",
                    "0" * 64,
                    {"text": str(number), "who": number % 2, "label": answer},
                    answer=answer,
                )
                writer.add(f"f:{number}", "0" * 64, "{}")
        sides = np.where(np.isin(np.arange(1000), held), Side.TEST, Side.TRAIN)
        roots = np.arange(1000) if roots is None else np.asarray(roots)
        look_at = Remarks(keys.keys(), roots, {"near": 0}, RecordStore(tmp_path / "r.arrow"))
        return [*look_at.of(sides, list(asked)), *look_at.adjusted(np.array(adjusted, int))]

    return look


def test_a_split_as_it_was_asked_for_needs_no_remark(remarks):
    labels = ["yes" if number % 3 else "no" for number in range(1000)]
    assert remarks(range(0, 1000, 10), labels) == []


@pytest.mark.parametrize(
    ("held", "said"), [(130, "130 records, 30% more than the 100"), (80, "80 records, 20% fewer")]
)
def test_a_side_that_is_off_by_more_than_a_tenth_is_said(remarks, held, said):
    assert said in remarks(range(held))[0]


def test_labels_that_differ_beyond_chance_are_said_with_the_one_that_differs_most(remarks):
    labels = ["yes" if number < 500 else "no" for number in range(1000)]
    found = remarks([*range(80), *range(500, 520)], labels)
    assert len(found) == 1
    assert "test: its labels differ from those of all records by more than chance" in found[0]
    told = DedupFields(("text",), True, stratify="label")
    assert "there and 50.0% in all" in remarks([*range(80), *range(500, 520)], labels, told=told)[0]


def test_labels_that_differ_as_chance_has_it_are_not_said(remarks):
    chance = np.random.default_rng(5)
    labels = [str(number % 4) for number in range(1000)]
    said = [remarks(chance.choice(1000, 100, replace=False), labels) for _ in range(40)]
    assert sum(map(bool, said)) <= 3


def test_a_cluster_that_is_a_large_part_of_the_records_is_said_with_the_reason(remarks):
    roots = [0 if number < 300 else number for number in range(1000)]
    (found,) = remarks(range(900, 1000), roots=roots)
    assert found.startswith("300 records of 1,000 (f:0, f:1, ...) belong together and are all in train")
    assert "texts that look alike: set data.leaks.near" in found
    (found,) = remarks(
        range(900, 1000), roots=np.arange(1000) % 2, told=DedupFields(("text",), True, group="who")
    )
    assert "one value of data.split.group" in found


def test_records_that_other_records_can_move_are_named_with_what_keeps_them(remarks):
    [said] = remarks(range(0, 1000, 10), adjusted=range(12))
    assert "12 records are on another side than by hash" in said
    assert "f:0, f:1, f:2" in said
    assert "f:9 and 2 more" in said
    assert "set data.split.manifest to this folder" in said
