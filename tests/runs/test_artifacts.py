import json
from pathlib import Path
from typing import Any

import pytest

from tunesmith.errors import ExperimentError, ModelError
from tunesmith.files import write_json
from tunesmith.runs.artifacts import refuse_changed, stage_files
from tunesmith.runs.stage import DONE, StageResult


def stage(folder: Path) -> Path:
    """A stage's folder with an adapter and a head, as bytes of no meaning."""
    for name in ("adapter/adapter_model.safetensors", "adapter/adapter_config.json", "adapter/README.md",
                 "head.safetensors", "head.json"):  # fmt: skip
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"content of {name}")
    left = stage_files(folder)
    result = StageResult("key", 1, 1.0, bytes=left.bytes, sha256=left.sha256, files=left.files)
    DONE.write(folder, result)
    return folder


def test_what_a_stage_left_is_taken_as_long_as_it_is_as_it_was(tmp_path: Path) -> None:
    refuse_changed(tmp_path)  # Not over yet.
    refuse_changed(stage(tmp_path))
    (tmp_path / "adapter" / "README.md").write_text("edited, which nobody reads")
    refuse_changed(tmp_path)
    left = json.loads((tmp_path / "done.json").read_text())
    assert left["bytes"] == len(
        "content of adapter/adapter_model.safetensors" + "content of head.safetensors"
    )


@pytest.mark.parametrize(
    "name", ["adapter/adapter_model.safetensors", "adapter/adapter_config.json", "head.json"]
)
def test_a_changed_or_missing_file_is_named_with_what_to_do(tmp_path: Path, name: str) -> None:
    file = stage(tmp_path) / name
    file.write_text(file.read_text() + " ")
    with pytest.raises(ModelError, match=rf"{name}: was changed after .*(?s:.)*delete {tmp_path}/done.json"):
        refuse_changed(tmp_path)
    file.unlink()
    with pytest.raises(ModelError, match=rf"{name}: is not there any more"):
        refuse_changed(tmp_path)


def test_weights_are_checked_too_where_an_earlier_version_hashed_them_together(tmp_path: Path) -> None:
    left = stage_files(stage(tmp_path))
    DONE.write(tmp_path, StageResult("key", 1, 1.0, sha256=left.sha256))
    refuse_changed(tmp_path)
    (tmp_path / "head.safetensors").write_text("other")
    with pytest.raises(ModelError, match="its weights were changed"):
        refuse_changed(tmp_path)


@pytest.mark.parametrize(
    "note", [[], {}, {"sha256": 1}, {"fingerprint": "a", "steps": 1, "seconds": 1.0, "files": []}]
)
def test_a_damaged_note_of_the_hashes_is_an_error_and_no_traceback(tmp_path: Path, note: Any) -> None:
    stage(tmp_path)
    write_json(tmp_path / "done.json", note)
    with pytest.raises(ExperimentError, match=r"done\.json: is damaged"):
        refuse_changed(tmp_path)
