from __future__ import annotations

import subprocess
import sys

import pytest

from tests.train.observers.events import EVALUATION, update
from tunesmith.errors import ExperimentError
from tunesmith.train.observers._tracking import numbers, refuse_missing
from tunesmith.train.observers.tensorboard import Tensorboard
from tunesmith.train.observers.trackio import Trackio

# An entry of None makes Python's own import fail as it does for a package that is not there.
SCRIPT = """
import sys
from pathlib import Path
from tunesmith.config.registry import Registry
from tunesmith.errors import ExperimentError

sys.modules["{package}"] = None
try:
    Registry("tunesmith.train.observers").item("{package}")().watch(Path(), "run", {{}})
except ExperimentError as error:
    print(error)
"""


@pytest.mark.parametrize("package", ["tensorboard", "wandb", "trackio"])
def test_a_tracker_that_is_not_installed_names_the_extra(package: str) -> None:
    script = SCRIPT.format(package=package)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == (
        f"track: '{package}' needs the package {package}, which is not installed. Run "
        f"`pip install 'tunesmith[tracking]'`, or leave '{package}' out of `track`"
    )


def test_numbers_of_an_update_carry_speed_and_memory() -> None:
    assert numbers(update(2))["tokens_per_second"] == 100.0
    assert numbers(update(2))["loss"] == 0.5
    assert numbers(EVALUATION) == {"validation/accuracy": 0.75, "validation/f1/World": 0.5}


def test_reading_an_experiment_file_does_not_import_a_tracker() -> None:
    script = (
        "import sys; from tunesmith.config.registry import Registry; registry = Registry('tunesmith.train.observers'); "
        "[registry.item(kind) for kind in registry.kinds()]; "
        "print(sorted({'torch', 'tensorboard', 'wandb', 'trackio'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_package_that_is_missing_is_told_before_anything_long_begins() -> None:
    with pytest.raises(
        ExperimentError, match=r"track: 'other' needs the package not_there, which is not installed"
    ):
        refuse_missing("other", "not_there")
    for tracker in (Tensorboard(), Trackio()):
        tracker.check()
