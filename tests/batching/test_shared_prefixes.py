"""Which examples share a beginning, and what is laid out of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from tunesmith.batching.example import Example, Placed
from tunesmith.batching.shared_prefixes import FEWEST, PrefixGroup, pieces_of, prefix_groups
from tunesmith.images.picture import Picture

INSTRUCTION = list(range(100, 100 + 2 * FEWEST))


def example(tokens: list[int], trained: int = 1, pictures: tuple[Placed, ...] = ()) -> Example:
    marks = np.arange(len(tokens)) >= len(tokens) - trained
    return Example("a:1", np.array(tokens, np.int32), marks, pictures=pictures)


def placed(name: str, start: int) -> Placed:
    return Placed(Picture(name, name, 112, 112, "", root=Path()), start, 4, 5, 14, 2)


def test_an_instruction_that_all_begin_with_is_laid_out_once() -> None:
    given = [example([*INSTRUCTION, 1, 2, 3]), example([*INSTRUCTION, 4, 5]), example([7, 8, 9])]
    assert prefix_groups(given) == [PrefixGroup((0, 1), len(INSTRUCTION)), PrefixGroup((2,), 0)]
    pieces = pieces_of(given, share=True)
    assert [piece.example.tokens.tolist() for piece in pieces] == [INSTRUCTION, [1, 2, 3], [4, 5], [7, 8, 9]]
    assert [piece.continues for piece in pieces] == [-1, 0, 0, -1]
    assert pieces[1].positions.tolist() == [[32, 33, 34]]
    assert not pieces[0].example.trained.any()


def test_of_a_beginning_within_a_beginning_the_one_that_saves_more_is_taken() -> None:
    deep = [*INSTRUCTION, *range(500, 600)]
    given = [example([*deep, number]) for number in (1, 2, 3)] + [example([*INSTRUCTION, 9, 9])]
    # Three with 132 tokens in common save more than four with 32.
    assert prefix_groups(given) == [PrefixGroup((0, 1, 2), 131 + 1), PrefixGroup((3,), 0)]


def test_what_is_trained_is_never_part_of_a_beginning() -> None:
    given = [example([*INSTRUCTION, 1], trained=20), example([*INSTRUCTION, 1], trained=20)]
    assert prefix_groups(given) == [PrefixGroup((0,), 0), PrefixGroup((1,), 0)]


def test_equal_examples_keep_a_token_each() -> None:
    given = [example([*INSTRUCTION, 1], trained=0)] * 2
    assert prefix_groups(given) == [PrefixGroup((0, 1), len(INSTRUCTION))]


def test_a_picture_is_shared_whole_or_not_at_all() -> None:
    tokens = [1, 2, *[9] * 20, *range(200, 240)]
    same = [example([*tokens, number], pictures=(placed("a", 2),)) for number in (1, 2)]
    assert prefix_groups(same) == [PrefixGroup((0, 1), len(tokens))]
    pieces = pieces_of(same, share=True)
    assert [len(piece.example.pictures) for piece in pieces] == [1, 0, 0]
    other = [same[0], example([*tokens, 2], pictures=(placed("b", 2),))]
    assert prefix_groups(other) == [PrefixGroup((0,), 0), PrefixGroup((1,), 0)]


def test_a_picture_after_the_beginning_stands_where_it_does_in_the_rest() -> None:
    tokens = [*INSTRUCTION, *[9] * 20, 5]
    given = [example(tokens, pictures=(placed(name, len(INSTRUCTION)),)) for name in "ab"]
    assert [piece.example.pictures[0].start for piece in pieces_of(given, share=True)[1:]] == [0, 0]


def test_siblings_too_large_together_for_a_micro_batch_are_cut_and_each_part_pays_for_the_beginning() -> None:
    group = PrefixGroup((0, 1, 2), 10)
    lengths = [15, 15, 15]
    assert group.tokens(lengths) == 25
    assert [part.members for part in group.split(20, lengths)] == [(0, 1), (2,)]
    assert [part.members for part in group.split(5, lengths)] == [(0,), (1,), (2,)]


@settings(max_examples=60, deadline=None)
@given(
    some.lists(
        some.tuples(some.integers(0, 3), some.integers(0, 60), some.integers(1, 5)), min_size=1, max_size=9
    )
)
def test_every_example_can_be_put_together_again_and_nothing_grows(drawn: list[tuple[int, int, int]]) -> None:
    given = [
        example([kind] * begin + [50 + number] * rest) for number, (kind, begin, rest) in enumerate(drawn)
    ]
    pieces = pieces_of(given, share=True)
    whole = [
        [*(pieces[piece.continues].example.tokens if piece.continues >= 0 else []), *piece.example.tokens]
        for number, piece in enumerate(pieces)
        if not any(other.continues == number for other in pieces)
    ]
    assert sorted(map(tuple, whole)) == sorted(tuple(one.tokens) for one in given)
    assert sum(len(piece.example) for piece in pieces) <= sum(map(len, given))


@pytest.mark.parametrize("share", [False, True])
def test_positions_are_those_of_the_whole_example(share: bool) -> None:
    tokens = [1, 2, *[9] * 20, *range(200, 240)]
    given = [example([*tokens, number], pictures=(placed("a", 2),)) for number in (1, 2)]
    pieces = pieces_of(given, share)
    last = [piece.positions[:, -1].tolist() for piece in pieces if piece.example.tokens[-1] in (1, 2)]
    assert last == [pieces_of(given[:1], share=False)[0].positions[:, -1].tolist()] * 2
