from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.report.run_folder_maker import make_experiment


@pytest.fixture(scope="session")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished experiment of two variants, for reading only."""
    root = tmp_path_factory.mktemp("ag-news")
    make_experiment(root, ["lora", "full"])
    return root


@pytest.fixture
def run(experiment: Path, tmp_path: Path) -> Path:
    """The folder of a finished run that a test may change."""
    return shutil.copytree(experiment, tmp_path / "ag-news") / "lora"
