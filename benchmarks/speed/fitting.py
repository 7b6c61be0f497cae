"""Which settings of tunesmith stay within so much memory on a workload, by its forecast; needs no GPU.

    python -m benchmarks.speed.fitting short-text lora 17.0

For each level of checkpointing and number of micro-batches the fewest tokens that make no more of them, and what that
takes. Engines of `engines/` that are limited in memory have their numbers from here.
"""

from __future__ import annotations

import argparse
from itertools import count

from benchmarks.memory import GIB, METHODS, family_of, keep_off_gpu
from benchmarks.speed import workloads
from benchmarks.speed.goals import group
from benchmarks.speed.methods import METHODS as WAYS
from benchmarks.speed.workloads import WORKLOADS

from tunesmith.batching.packer import pack
from tunesmith.config.experiment import Optimizer
from tunesmith.forecast.fake_model import FakeModel, build_fake_model
from tunesmith.forecast.memory import BatchShape, forecast
from tunesmith.images.picture import Picture
from tunesmith.model.checkpointing import LEVELS
from tunesmith.train.loss import answer_loss

UPDATES, STEP, MOST = 15, 64, 8
"""Updates that are looked at, tokens from one try to the next, and most micro-batches."""


def fewest_tokens(lengths: list[list[int]], micro_batches: int) -> int:
    """Tokens of a micro-batch with which every update is cut into no more than so many."""
    least = -(-max(map(sum, lengths)) // micro_batches)
    return next(
        tokens
        for tokens in count(-(-least // STEP) * STEP, STEP)
        if all(len(pack(update, tokens)) <= micro_batches for update in lengths)
    )


def shape_of(work: workloads.Workload, made: FakeModel, lengths: list[list[int]], tokens: int) -> BatchShape:
    """The largest micro-batch of so many tokens."""
    bins = [[update[index] for index in one] for update in lengths for one in pack(update, tokens)]
    most, image_processor = max(map(len, bins)), made.loaded.family.image_processor
    grids = ()
    if image_processor is not None:
        grids = (image_processor.place("p", Picture("p", "", work.side, work.side, ""), 2).grid,) * most
    return BatchShape(tuple(max(bins, key=sum)), most * work.trained, grids)


def main() -> None:
    """Print a line for each way, until the next would only be slower."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed.fitting", description=__doc__)
    parser.add_argument("workload", choices=list(WORKLOADS))
    parser.add_argument("method", choices=[name for name, way in WAYS.items() if way.adapts])
    parser.add_argument("gib", type=float, help="what PyTorch may have allocated at most")
    asked = parser.parse_args()
    keep_off_gpu()
    work, way = WORKLOADS[asked.workload], WAYS[asked.method]
    family = family_of(group(asked.workload, asked.method, "").model)
    weights = dict.fromkeys(family.prefixes, way.weights)
    made = build_fake_model(family, weights, METHODS["lora-both" if work.sees else "lora"])
    updates = [workloads.update(work, number, family.config) for number in range(UPDATES)]
    lengths = [[len(one.tokens) for one in samples] for samples in updates]
    for level in LEVELS:
        for number in range(1, MOST + 1):
            tokens = fewest_tokens(lengths, number)
            told = forecast(
                made, shape_of(work, made, lengths, tokens), answer_loss, Optimizer(), level, number
            )
            fits = told.total <= asked.gib * GIB
            print(
                f"{level:<10} {tokens:>6,} tokens, {number} micro-batches: {told.total / GIB:6.2f} GiB, "
                f"{told.flop / 1e12:,.0f} TFLOP each{', fits' * fits}",
                flush=True,
            )
            if fits:
                break


if __name__ == "__main__":
    main()
