import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tunesmith.errors import ExperimentError
from tunesmith.pipeline.folder import at_work, files_key, key_of


def test_a_second_process_on_one_run_is_told_who_is_at_work(tmp_path: Path) -> None:
    program = textwrap.dedent(
        f"""
        from pathlib import Path
        from tunesmith.pipeline.folder import at_work
        with at_work(Path({str(tmp_path)!r})):
            print("held", flush=True)
            input()
        """
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdin is not None
    with holder:
        assert holder.stdout.readline() == "held\n"
        with (
            pytest.raises(ExperimentError, match=f"process {holder.pid} is at work on this run"),
            at_work(tmp_path),
        ):
            pass
        holder.kill()
        holder.wait()
    with at_work(tmp_path):
        assert (tmp_path / ".holder").exists()


def test_an_output_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    message = r"runs: cannot be written \(Not a directory\)\. Give a folder that can be written to: `output`"
    with pytest.raises(ExperimentError, match=message), at_work(tmp_path / "file" / "runs"):
        pass


def test_a_key_changes_with_any_value_and_not_with_the_order_of_settings() -> None:
    assert key_of({"a": 1, "b": 2}) == key_of({"b": 2, "a": 1})
    assert key_of({"a": 1}) != key_of({"a": 2})


def test_a_changed_model_file_changes_its_key(tmp_path: Path) -> None:
    assert files_key(tmp_path / "nothing") is None
    (tmp_path / "weights").write_text("a")
    before = files_key(tmp_path)
    (tmp_path / "weights").write_text("bb")
    assert files_key(tmp_path) != before
