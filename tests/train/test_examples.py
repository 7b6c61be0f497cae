from pathlib import Path

import numpy as np
import pytest

from tests.tiny import tiny_seeing_model
from tunesmith.batching.example import Example, Placed
from tunesmith.config.experiment import Length, Model
from tunesmith.errors import DataError
from tunesmith.images.picture import Picture
from tunesmith.model.load import load_family
from tunesmith.records.conversation import Conversation, Text, Turn
from tunesmith.train.examples import Examples, render_examples


def make(number: int, length: int) -> Example:
    return Example(
        f"a:{number}", np.arange(length, dtype=np.int32), np.arange(length) >= length - 1, (number,)
    )


def test_examples_come_back_as_they_went_in() -> None:
    examples = Examples(make(number, number + 2) for number in range(5))
    assert len(examples) == 5
    for number, example in enumerate(examples):
        assert example.record == f"a:{number}"
        assert example.classes == (number,)
        assert example.tokens.tolist() == list(range(number + 2))
        assert example.trained.tolist() == [False] * (number + 1) + [True]
    assert examples.lengths.tolist() == [2, 3, 4, 5, 6]
    assert [examples.length(index) for index in range(5)] == [2, 3, 4, 5, 6]
    assert examples.trained_share == 5 / 20


def test_no_examples_are_no_examples() -> None:
    assert len(Examples([])) == 0
    assert Examples([]).trained_share == 0


def test_tokens_of_pictures_are_told_by_example() -> None:
    picture = Picture("a.png", "", 64, 64, "")
    seen = Example(
        "a:1", np.arange(30, dtype=np.int32), np.zeros(30, bool),
        pictures=(Placed(picture, 1, 2, 3, 14, 2), Placed(picture, 9, 4, 5, 14, 2)),
    )  # fmt: skip
    examples = Examples([make(0, 9), seen, make(2, 5)])
    assert examples.picture_lengths.tolist() == [0, 26, 0]
    assert examples.num_picture_tokens == 26


@pytest.mark.parametrize("over", ["refuse", "drop"])
def test_an_example_that_is_too_long_because_of_its_picture_is_never_cut(tmp_path: Path, over: str) -> None:
    family = load_family(Model(path=str(tiny_seeing_model(tmp_path, "qwen2_5_vl"))))
    asked = [
        Conversation(f"a:{side}", (Turn("user", (Picture("a.png", "", side, side, ""), Text("?"))),), "yes")
        for side in (56, 280)
    ]
    short, long = (family.render(one) for one in asked)
    limit = Length(max_tokens=len(long) - 1, over=over)
    if over == "refuse":
        advice = r"Raise data\.length\.max_tokens, see pictures smaller \(model\.pixels\.max; .*or set"
        with pytest.raises(DataError, match=rf"a:280: {len(long)} tokens\n{advice}"):
            render_examples(family, asked, family.render_all, limit)
        return
    rendered = render_examples(family, asked, family.render_all, limit)
    assert rendered.too_long == (("a:280", len(long)),)
    assert [example.tokens.tolist() for example in rendered.examples] == [short.tokens.tolist()]
