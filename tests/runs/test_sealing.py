from pathlib import Path

import pytest

from tunesmith.errors import ExperimentError
from tunesmith.files import SUMS
from tunesmith.runs.sealing import refuse_changed_run, seal, unseal


def run(folder: Path) -> Path:
    for name in (
        "run.json",
        "log.jsonl",
        "stages/one/done.json",
        "evaluation/comparison.json",
        "report.html",
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    seal(folder)
    return folder


@pytest.mark.parametrize(
    "name", ["run.json", "log.jsonl", "stages/one/done.json", "evaluation/comparison.json"]
)
def test_a_file_of_a_finished_run_that_was_changed_is_named_and_one_that_was_deleted_made_again(
    tmp_path: Path, name: str
) -> None:
    refuse_changed_run(tmp_path)  # No run yet.
    refuse_changed_run(run(tmp_path))
    (tmp_path / name).write_text("other")
    with pytest.raises(ExperimentError, match=f"{name}: was changed .* delete it and call `tunesmith run`"):
        refuse_changed_run(tmp_path)
    (tmp_path / name).unlink()
    refuse_changed_run(tmp_path)


def test_pages_are_not_evidence_and_a_run_that_goes_on_has_no_seal(tmp_path: Path) -> None:
    (run(tmp_path) / "report.html").write_text("made again")
    refuse_changed_run(tmp_path)
    (tmp_path / "run.json").write_text("other")
    refuse_changed_run(tmp_path, ("log.jsonl",))
    unseal(tmp_path)
    unseal(tmp_path)
    refuse_changed_run(tmp_path)
    assert not (tmp_path / SUMS).exists()
