"""A tiny model and a few examples to train on."""

from pathlib import Path

import numpy as np

from tests.tiny import tiny_model
from tunesmith.batching.example import Example
from tunesmith.config.experiment import Batch, Model, Optimizer, Stage
from tunesmith.methods.full import Full
from tunesmith.methods.lora import Lora
from tunesmith.model.load import load
from tunesmith.model.loaded import LoadedModel
from tunesmith.model.trainable import Trainable, make_trainable
from tunesmith.pipeline.determinism import seed_everything
from tunesmith.train.examples import Examples

VOCABULARY = 200


def examples(number: int = 24, seed: int = 0) -> Examples:
    """Random tokens of random lengths, the last few of each trained."""
    chance = np.random.default_rng(seed)
    made = []
    for index in range(number):
        length = int(chance.integers(5, 30))
        trained = np.arange(length) >= length - int(chance.integers(1, 4))
        made.append(Example(f"a:{index}", chance.integers(0, VOCABULARY, length).astype(np.int32), trained))
    return Examples(made)


def loaded(folder: Path, model_type: str = "qwen2") -> LoadedModel:
    """A tiny fp32 model."""
    return load(Model(path=str(tiny_model(folder / "model", model_type)), weights="fp32", device="cpu"))


def trainable(folder: Path, dropout: float = 0.1, full: bool = False) -> Trainable:
    """The tiny model with an adapter, or with all weights trained."""
    seed_everything(7)
    method = Full() if full else Lora(rank=4, alpha=8, dropout=dropout)
    return make_trainable(loaded(folder), {"language": method}, seed=7)


def stage(**changes: object) -> Stage:
    """Three epochs of three updates."""
    settings = {
        "parts": {"language": Lora()},
        "epochs": 3,
        "batch": Batch(num_examples=8, max_tokens_per_microbatch=64),
        "optimizer": Optimizer(learning_rate=1e-2),
    }
    return Stage(**{**settings, **changes})  # type: ignore[arg-type]
