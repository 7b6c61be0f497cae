import json
from dataclasses import asdict
from pathlib import Path

import pytest

from tunesmith.errors import ExperimentError
from tunesmith.runs.json_file import JsonFile
from tunesmith.runs.manifest import MANIFEST, LeakSummary, Manifest
from tunesmith.runs.stage import DONE, StageResult

RESULT = StageResult(
    "key", steps=3, seconds=2.5, best_step=2, files={"head.json": "ab"}, task={"kind": "answer"}
)


def test_a_file_reads_back_as_the_value_that_was_written(tmp_path: Path) -> None:
    DONE.write(tmp_path, RESULT)
    assert DONE.read(tmp_path) == RESULT
    assert DONE.require(tmp_path) == RESULT


def test_a_file_that_is_missing_is_nothing_or_an_error_with_what_to_do(tmp_path: Path) -> None:
    assert DONE.read(tmp_path) is None
    assert not DONE.exists(tmp_path)
    with pytest.raises(ExperimentError, match=r"done\.json: does not exist\. Call `tunesmith run`"):
        DONE.require(tmp_path)


def test_a_field_is_never_written_with_a_type_that_its_reader_refuses(tmp_path: Path) -> None:
    leaks = LeakSummary("drop")
    object.__setattr__(leaks, "picture_pairs", 0.93)
    with pytest.raises(TypeError, match=r"manifest\.json: .*picture_pairs"):
        MANIFEST.write(tmp_path, Manifest("ab", {"train": 1}, leaks=leaks))
    assert not MANIFEST.exists(tmp_path)


def test_a_number_that_is_not_finite_is_null_on_disk(tmp_path: Path) -> None:
    file = JsonFile[dict[str, float | None]]("numbers.json", dict[str, float | None])
    file.write(tmp_path, {"loss": float("nan")})
    assert file.read(tmp_path) == {"loss": None}


def test_keys_of_a_later_version_are_ignored(tmp_path: Path) -> None:
    (tmp_path / "done.json").write_text(json.dumps(asdict(RESULT) | {"later": 1}))
    assert DONE.read(tmp_path) == RESULT


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "Invalid JSON"),
        ("[]", "Input should be an object"),
        ('{"fingerprint": "a"}', "steps: Field required"),
        ("[" * 100_000, "Invalid JSON"),
    ],
)
def test_a_damaged_file_is_named_with_what_is_wrong(tmp_path: Path, text: str, fault: str) -> None:
    (tmp_path / "done.json").write_text(text)
    with pytest.raises(
        ExperimentError, match=rf"done\.json: is damaged \(.*{fault}.*\)\. Delete it and run again"
    ):
        DONE.read(tmp_path)
