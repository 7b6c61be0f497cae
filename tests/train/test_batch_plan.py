from dataclasses import replace
from itertools import chain

import numpy as np
import torch

from tests.train.small import examples, stage
from tunesmith.batching.example import Example
from tunesmith.config.experiment import Batch
from tunesmith.train.batch_plan import BatchPlan
from tunesmith.train.examples import Examples


def seen(updates: BatchPlan, steps: range) -> list[int]:
    """Number of tokens of every example that these updates hold."""
    return [
        int(size)
        for step in steps
        for batch in updates.micro_batches(step)
        for size in batch.segments.lengths
    ]


def test_an_epoch_holds_every_example_once() -> None:
    updates = BatchPlan.of(stage(epochs=2), examples(21), seed=3)
    assert updates.steps_per_epoch == 3
    assert updates.steps == 6
    assert sorted(seen(updates, range(3))) == sorted(updates.examples.lengths.tolist())
    assert sorted(seen(updates, range(3, 6))) == sorted(updates.examples.lengths.tolist())


def test_an_update_is_a_pure_function_of_its_number() -> None:
    first, second = (BatchPlan.of(stage(), examples(), seed=3) for _ in range(2))
    list(first.prefetch(0, torch.device("cpu")))
    for one, other in zip(first.micro_batches(7), second.micro_batches(7), strict=True):
        assert torch.equal(one.tokens, other.tokens)


def test_ahead_gives_every_update_from_the_one_asked_for() -> None:
    updates = BatchPlan.of(stage(), examples(), seed=3)
    steps = [step for step, _ in updates.prefetch(5, torch.device("cpu"))]
    assert steps == [5, 6, 7, 8]
    assert list(updates.prefetch(9, torch.device("cpu"))) == []


def test_a_stage_ordered_by_a_field_sees_low_values_first() -> None:
    given = examples()
    difficulty = [index % 3 for index in range(len(given))]
    updates = BatchPlan.of(stage(epochs=1), given, seed=3, sort_by=difficulty)
    easy = [given.length(index) for index in range(len(given)) if difficulty[index] == 0]
    assert sorted(seen(updates, range(1))) == sorted(easy)


def test_a_fault_while_a_batch_is_made_reaches_the_loop() -> None:
    updates = BatchPlan("adapt", examples(3), 0, 64, steps=2, seed=1)
    try:
        list(updates.prefetch(0, torch.device("cpu")))
    except ZeroDivisionError:
        return
    raise AssertionError("the fault was lost")


def test_where_nothing_is_said_a_micro_batch_has_8192_tokens() -> None:
    assert BatchPlan.of(stage(batch=Batch(num_examples=8)), examples(), seed=3).tokens_per_device == 8192


def test_members_and_tokens_are_those_of_the_micro_batches() -> None:
    updates = BatchPlan.of(stage(), examples(), seed=3)
    for step in (0, 4):
        batches = updates.micro_batches(step)
        members = updates.members(step, updates.tokens_per_device)
        assert [sum(map(updates.examples.length, one)) for one in members] == [
            len(batch.tokens) for batch in batches
        ]
        assert updates.tokens(step) == sum(len(batch.tokens) for batch in batches)
        assert [len(one) for one in updates.members(step, 10_000)] == [8]


def alike(number: int = 24) -> Examples:
    """Examples of one instruction, and a few words of their own."""
    given = [
        Example(str(index), np.array([*range(40), 50 + index, 7], np.int32), np.arange(42) == 41)
        for index in range(number)
    ]
    return Examples(given)


def test_shared_beginnings_make_micro_batches_of_fewer_tokens_that_keep_to_the_limit() -> None:
    given = alike()
    plain = BatchPlan.of(stage(batch=Batch(num_examples=8, max_tokens_per_microbatch=128)), given, seed=3)
    sharing = replace(plain, share_prefixes=True)
    for step in range(3):
        batches = sharing.micro_batches(step)
        assert max(len(batch.tokens) for batch in batches) <= 128
        assert sum(len(batch.tokens) for batch in batches) == 40 + 8 * 2
        assert sum(len(batch.tokens) for batch in plain.micro_batches(step)) == 8 * 42
        targets = [sorted(batch.targets.tolist()) for batch in batches]
        assert sum(map(len, targets)) == 8
        seen_by = [sorted(chain(*one.members(step, 128))) for one in (sharing, plain)]
        assert seen_by[0] == seen_by[1]


def test_siblings_larger_than_a_micro_batch_are_cut() -> None:
    sharing = replace(
        BatchPlan.of(stage(batch=Batch(num_examples=8, max_tokens_per_microbatch=48)), alike(), seed=3),
        share_prefixes=True,
    )
    assert [len(batch.tokens) for batch in sharing.micro_batches(0)] == [48, 48]


def test_what_belongs_together_is_in_one_update() -> None:
    pictures = [index % 6 for index in range(24)]
    updates = BatchPlan.of(stage(batch=Batch(num_examples=4)), alike(), seed=3, group_by=pictures)
    for step in range(6):
        (members,) = updates.members(step, 10_000)
        assert len({pictures[index] for index in members}) == 1
