from dataclasses import replace

import numpy as np
import pytest

from tunesmith.errors import DataError
from tunesmith.records.store import RecordStore, write_store
from tunesmith.split.dedup_keys import DedupKeys, ImageHashes
from tunesmith.split.leaks import find, refuse
from tunesmith.split.sides import Side
from tunesmith.split.similar_texts import Alike

TRAIN, VALIDATION, TEST = Side.TRAIN, Side.VALIDATION, Side.TEST


def keys(**columns):
    size = len(next(iter(columns.values())))
    names = {"id": 1000, "content": 2000, "text": 3000}
    names |= dict(zip(("loose", "marks", "question", "answer", "side"), range(4000, 9000, 1000), strict=True))
    made = {
        name: np.array(columns.get(name, range(start, start + size)), np.uint64)
        for name, start in names.items()
    }
    group = np.array(columns["group"], np.uint64) if "group" in columns else None
    return DedupKeys(origin=np.ones(size, int), group=group, stratum=np.zeros(size, int), **made)


def pairs(found):
    return list(zip(found.records.tolist(), found.held.tolist(), found.why, strict=True))


@pytest.mark.parametrize("what", ["id", "content", "text", "group"])
def test_each_kind_of_sameness_over_two_sides_is_a_leak_and_named(what):
    found = find(keys(**{what: [5, 6, 5, 6]}), np.array([TRAIN, TRAIN, TEST, TRAIN]))
    assert pairs(found) == [(0, 2, f"same {what}")]


def test_validation_leaks_to_test_and_train_leaks_to_both_but_each_record_is_named_once():
    found = find(keys(text=[5, 5, 5, 7, 7]), np.array([TRAIN, VALIDATION, TEST, TRAIN, VALIDATION]))
    assert pairs(found) == [(0, 2, "same text"), (1, 2, "same text"), (3, 4, "same text")]


def test_a_validation_record_that_leaks_itself_takes_no_training_record_with_it():
    found = find(keys(text=[5, 5, 6], group=[1, 2, 1]), np.array([VALIDATION, TEST, TRAIN]))
    assert pairs(found) == [(0, 1, "same text")]


def test_texts_that_look_alike_are_a_leak_but_not_by_way_of_a_third_one():
    alike = Alike(np.array([0, 1, 2, 3, 0]), np.array([[0, 1], [0, 2], [2, 3]]))
    found = find(keys(text=[1, 2, 3, 4, 5]), np.array([TRAIN, TEST, TRAIN, TRAIN, TRAIN]), alike)
    assert pairs(found) == [(0, 1, "nearly the same text"), (4, 1, "nearly the same text")]
    assert found.num_near == 2


def test_dropped_records_and_a_side_of_its_own_leak_nothing():
    assert not pairs(find(keys(text=[5, 5, 6, 6]), np.array([Side.DROPPED, TEST, TRAIN, TRAIN])))


def test_the_first_twenty_pairs_are_named_with_the_number_of_the_others(tmp_path):
    with write_store(tmp_path / "r.arrow") as writer:
        for number in range(50):
            writer.add(f"f:{number}", "0" * 64, "{}")
    found = find(keys(text=[*range(25)] * 2), np.array([TRAIN] * 25 + [TEST] * 25))
    with pytest.raises(DataError) as error:
        refuse(found, RecordStore(tmp_path / "r.arrow"), "Do this.")
    lines = str(error.value).splitlines()
    assert lines[0] == "data: 25 records leak (the second of each pair is held out):"
    assert lines[1] == "  f:0 and f:25: same text"
    assert lines[-2:] == ["  ... and 5 more", "Do this."]
    assert len(lines) == 23


def test_a_picture_in_common_is_a_leak_of_each_record_once_but_not_through_a_third_picture():
    seen = ImageHashes(
        np.array([0, 0, 1, 2, 3, 3]), np.array([7, 1, 1, 2, 9, 3], np.uint64), np.zeros(6, np.uint64)
    )
    made = replace(keys(text=[1, 2, 3, 4]), images=seen)
    sides = np.array([TRAIN, TRAIN, TRAIN, TEST])
    found = find(made, sides, pictures=np.array([0, 1, 1, 2, 0, 1]))
    assert pairs(found) == [(0, 3, "pictures look alike"), (1, 3, "pictures look alike")]
    assert (found.num_pictures, found.num_near) == (2, 0)
    assert not pairs(find(made, sides, pictures=np.array([0, 1, 1, 2, 3, 4])))
