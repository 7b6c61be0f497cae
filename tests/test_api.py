"""Every command is a function of the same name."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import tunesmith
from tests.pipeline.small import lora_stage, small_experiment
from tunesmith import api
from tunesmith.errors import ExperimentError

COMMANDS = {file.stem for file in Path(tunesmith.__file__).parent.glob("cli/[!_]*.py")} - {"main"}
PACKAGES = {file.parent.name for file in Path(tunesmith.__file__).parent.glob("*/__init__.py")}


def test_every_command_is_a_function_of_the_api() -> None:
    for name in COMMANDS:
        assert callable(getattr(api, name)), name
    assert set(api.__all__) >= COMMANDS


def test_names_that_are_no_sub_package_are_imported_from_the_top() -> None:
    functions = {name for name in api.__all__ if name[0].islower()}
    assert set(tunesmith.__all__) == (functions - PACKAGES) | {"__version__"}
    for name in set(tunesmith.__all__) - {"__version__"}:
        assert getattr(tunesmith, name) is getattr(api, name), name


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'tunesmith' has no attribute 'tune'"):
        _ = tunesmith.tune  # type: ignore[attr-defined]
    with pytest.raises(AttributeError, match=r"'tunesmith\.api' has no attribute 'tune'"):
        _ = api.tune  # type: ignore[attr-defined]


def test_importing_the_functions_imports_no_torch() -> None:
    code = "import sys, tunesmith.api; tunesmith.load_experiment; print('torch' in sys.modules)"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout == "False\n"


def test_data_and_variant_are_those_of_the_file_wherever_it_lies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = small_experiment(
        tmp_path / "there", stages=[lora_stage(epochs=None, steps=1)], variants={"low": {"seed": 2}}
    )
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    messages: list[str] = []
    with pytest.raises(ExperimentError, match="has 1 variants"):
        api.prepare(api.load_experiment(path))
    experiment = api.load_experiment(path, variant="low")
    assert len(api.prepare(experiment, say=messages.append).records("test")) > 0
    assert messages[0].startswith("prepare: records and split in ")
    audited = api.audit(experiment, characters=True, say=messages.append)
    assert audited.forecast is None
    assert "outlook" not in audited.to_json()
    assert audited.lines()
    (example,) = api.show(experiment, examples=1, say=messages.append)
    assert "⟦" in example.text.plain
    assert api.train(experiment).parts[-3:] == ("low", "stages", "adapt")
    assert api.evaluate(experiment, base_only=True).tuned is None


def test_no_variant_to_run_is_an_error() -> None:
    with pytest.raises(ExperimentError, match="there is no variant to run"):
        api.run_variants({})
