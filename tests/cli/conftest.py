"""One small experiment that is run once for all commands."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cli.calling import Ended, call
from tests.pipeline.small import lora_stage, small_experiment

QUICK = {"max_validation_records": 8, "max_test_records": 20, "num_resamples": 100, "metrics": ["accuracy"]}


@dataclass(frozen=True)
class Finished:
    """An experiment with all its variants run, and how that call ended."""

    path: Path
    ended: Ended

    @property
    def runs(self) -> Path:
        return self.path.parent / "runs [v2]" / "small"


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """Variants `low` and `high`, in a folder whose name rich would take for a style. Tests leave it as it is."""
    folder = tmp_path_factory.mktemp("commands")
    path = small_experiment(
        folder,
        stages=[lora_stage(epochs=None, steps=2)],
        evaluate=QUICK,
        variants={name: {"stages.0.parts.language.rank": rank} for name, rank in (("low", 2), ("high", 4))},
        output=str(folder / "runs [v2]"),
    )
    return Finished(path, call("run", path, "--all"))


@pytest.fixture
def untouched(tmp_path: Path) -> Path:
    """An experiment of which nothing has been done yet."""
    return small_experiment(tmp_path, stages=[lora_stage(epochs=None, steps=1)], evaluate=QUICK)
