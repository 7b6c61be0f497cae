"""A tiny model that is ready to answer."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.tiny import tiny_model
from tunesmith.config.experiment import Model
from tunesmith.model.load import load
from tunesmith.model.loaded import LoadedModel


@cache
def tiny() -> LoadedModel:
    """A random model in fp32, the same for every test; no test changes its weights."""
    with TemporaryDirectory() as folder:
        # Larger weights than usual make a random model sure of its answers, so that rounding never decides.
        path = tiny_model(Path(folder) / "model", initializer_range=0.2)
        return load(Model(path=str(path), weights="fp32", device="cpu"))
