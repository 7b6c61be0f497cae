from typing import get_args

from tunesmith.split.sides import Side, SideName


def test_test_is_protected_most_and_every_side_that_can_be_asked_for_exists():
    assert sorted(Side) == [Side.DROPPED, Side.TRAIN, Side.VALIDATION, Side.TEST]
    assert {Side[name.upper()].word for name in get_args(SideName)} == {"train", "validation", "test"}
