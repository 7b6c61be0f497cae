"""The examples of docs/extending.md, written into a copy of the package and run by the tests that stand beside them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```python\n# (\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BLOCKS = dict(BLOCK.findall((ROOT / "docs" / "extending.md").read_text(encoding="utf-8")))
TESTS = [path for path in BLOCKS if path.startswith("tests/")]
NEW = {
    "records/sources": "sqlite",
    "tasks": "number",
    "metrics": "brier",
    "methods": "bitfit",
    "model/families": "gemma",
    "train/observers": "table",
    "evaluate/engines": "constant",
}
"""The example of every registry."""


@pytest.fixture(scope="module")
def extended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package and of what its tests need, with all examples in their places."""
    folder = tmp_path_factory.mktemp("extended")
    shutil.copytree(ROOT / "src", folder / "src", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "tests").mkdir()
    for name in ("__init__.py", "tiny.py", "checked.py", "conftest.py"):
        shutil.copy(ROOT / "tests" / name, folder / "tests" / name)
    shutil.copy(ROOT / "pyproject.toml", folder)
    for path, text in BLOCKS.items():
        assert not (folder / path).exists(), f"{path} is there already; show another example"
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text.lstrip("\n"), encoding="utf-8")
    return folder


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(folder / "src")}
    return subprocess.run(
        [sys.executable, *command], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def test_there_is_an_example_with_a_test_for_every_registry() -> None:
    for registry in NEW:
        assert any(path.startswith(f"src/tunesmith/{registry}/") for path in BLOCKS), registry
        assert any(path.startswith(f"tests/{registry}/") for path in TESTS), registry


@pytest.mark.slow
def test_every_example_passes_its_own_tests_and_those_of_style(extended: Path) -> None:
    done = run(extended, "-m", "pytest", "-p", "no:cacheprovider", *TESTS)
    assert done.returncode == 0, done.stdout + done.stderr
    style = run(extended, "-m", "ruff", "check", "--no-cache", *BLOCKS)
    assert style.returncode == 0, style.stdout
    formatted = run(extended, "-m", "ruff", "format", "--check", "--diff", "--no-cache", *BLOCKS)
    assert formatted.returncode == 0, formatted.stdout


def test_a_new_kind_is_in_the_grammar_without_another_edit(extended: Path) -> None:
    rooms = [f"tunesmith.{registry.replace('/', '.')}" for registry in NEW]
    code = (
        f"from tunesmith.config.registry import Registry\nfor room in {rooms}: print(*Registry(room).kinds())"
    )
    known = run(extended, "-c", code).stdout.splitlines()
    for kind, kinds in zip(NEW.values(), known, strict=True):
        assert kind in kinds.split()
