"""What is published: a wheel that is whole, and works away from the checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

from tunesmith import __version__

ROOT = Path(__file__).parents[1]


def run(*command: str | Path, folder: Path, **environment: str) -> str:
    done = subprocess.run(
        command, cwd=folder, env=os.environ | environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_a_wheel_installs_and_runs_outside_the_checkout(tmp_path: Path) -> None:
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    run(*pip, "wheel", "--quiet", "--no-deps", "--wheel-dir", tmp_path, ROOT, folder=tmp_path)
    (wheel,) = tmp_path.glob("tunesmith-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert "tunesmith/py.typed" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    templates = [path.relative_to(ROOT / "src").as_posix() for path in ROOT.glob("src/**/templates/*")]
    assert templates
    assert set(templates) <= set(names)

    # Its dependencies come from this environment; tunesmith itself must not, so its own folder stands first.
    venv.create(tmp_path / "venv", with_pip=False)
    python = tmp_path / "venv" / "bin" / "python"
    site = next((tmp_path / "venv").glob("lib/python*/site-packages"))
    run(*pip, "install", "--quiet", "--no-deps", "--target", site, wheel, folder=tmp_path)
    (site / "others.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    (tmp_path / "recipe.yaml").write_bytes((ROOT / "recipes" / "ag-news.yaml").read_bytes())
    code = "import tunesmith; print(tunesmith.__file__)"
    assert Path(run(python, "-c", code, folder=tmp_path).strip()).is_relative_to(site)
    assert run(python, "-m", "tunesmith", "--version", folder=tmp_path).strip() == f"tunesmith {__version__}"
    code = "from tunesmith import load_experiment; print(load_experiment('recipe.yaml').model.path)"
    assert run(python, "-c", code, folder=tmp_path).strip() == "Qwen/Qwen2.5-7B-Instruct"
    assert (site / "bin" / "tunesmith").exists()
