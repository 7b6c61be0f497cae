import json
import platform
import sys
from pathlib import Path

import numpy
import peft
import pytest
import torch
import transformers

import tunesmith
from tunesmith.pipeline.environment import environment
from tunesmith.runs.run import ENVIRONMENT


def test_a_run_tells_the_versions_it_was_made_with() -> None:
    versions = environment().versions
    expected = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "peft": peft.__version__,
        "numpy": numpy.__version__,
        "tunesmith": tunesmith.__version__,
    }
    assert {name: versions[name] for name in expected} == expected


def test_a_run_tells_its_machine_and_command_as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["tunesmith", "run", "my recipe.yaml", "data.source.path=a b"])
    told = json.loads(ENVIRONMENT.dump(environment()))
    assert told["command"] == "tunesmith run 'my recipe.yaml' 'data.source.path=a b'"
    assert told["cores"] >= 1
    assert told["memory_gib"] > 0
    assert (told["gpu"] is not None) == torch.cuda.is_available()


def test_the_remains_of_a_package_that_was_half_removed_stop_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gone-1.0.dist-info").mkdir()
    (tmp_path / "nameless-1.0.dist-info").mkdir()
    (tmp_path / "nameless-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert environment().versions["torch"] == torch.__version__
