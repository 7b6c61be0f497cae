"""`tunesmith run` does the whole job, for one variant or for all."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.calling import call
from tests.cli.conftest import Finished


def results(runs: Path) -> dict[Path, int]:
    kept = {".safetensors", ".jsonl"}
    return {file: file.stat().st_mtime_ns for file in runs.rglob("*") if file.suffix in kept}


def test_all_variants_are_run_and_compared_on_one_page(finished: Finished) -> None:
    assert finished.ended.code == 0, finished.ended.err
    for variant in ("low", "high"):
        assert (finished.runs / variant / "report.html").exists()
        assert (finished.runs / variant / "evaluation" / "comparison.json").exists()
    page = (finished.runs / "report.html").read_text(encoding="utf-8")
    assert "low" in page
    assert "high" in page
    assert finished.ended.out.endswith(f"all variants: {finished.runs / 'report.html'}\n")


def test_every_step_is_said_and_the_shared_baseline_is_scored_once(finished: Finished) -> None:
    lines = finished.ended.out.splitlines()
    assert sum(line.startswith("baseline:") for line in lines) == 1
    assert sum(line.startswith("train: stage adapt, 1 of 1") for line in lines) == 2
    for variant in ("low", "high"):
        assert f"train: stage adapt, 1 of 1 ({variant}, fp32)" in lines
        assert f"small/{variant}: {finished.runs / variant}" in lines
    assert sum(line.startswith("evaluate:") for line in lines) == 2
    assert any(line.startswith(f"prepare: records and split in {finished.runs}/data-") for line in lines)


def test_what_is_done_is_not_done_again_and_the_result_is_told_once_more(finished: Finished) -> None:
    before = results(finished.runs)
    ended = call("run", finished.path, "--variant", "low")
    assert ended.code == 0
    assert not any(line.startswith(("baseline", "train:", "evaluate:")) for line in ended.out.splitlines())
    assert "20 held-out records" in " ".join(ended.out.split())
    assert results(finished.runs) == before


def test_an_unknown_variant_is_named_with_the_one_that_was_meant(finished: Finished) -> None:
    ended = call("run", finished.path, "--variant", "hihg")
    assert (ended.code, ended.out) == (2, "")
    assert "has no variant 'hihg' (possible: low, high). Did you mean 'high'?" in ended.err


def test_one_variant_and_all_of_them_cannot_both_be_asked_for(finished: Finished) -> None:
    ended = call("run", finished.path, "--all", "--variant", "low")
    assert ended.code == 2
    assert "--all" in ended.err
    assert "--variant" in ended.err


def test_a_wrong_override_stops_before_anything_is_written(untouched: Path) -> None:
    ended = call("run", untouched, "stages.0.step=3")
    assert ended.code == 2
    assert "Did you mean 'steps'?" in ended.err
    assert not (untouched.parent / "runs").exists()


def test_a_file_that_is_not_there_is_named_with_one_that_is(untouched: Path) -> None:
    ended = call("run", untouched.with_name("smal.yaml"))
    assert ended.code == 2
    assert "there is no such file. Did you mean 'small.yaml'?" in ended.err


def test_faults_of_data_and_model_have_their_own_exit_codes(untouched: Path) -> None:
    assert call("run", untouched, "task.prompt=Q {txt}").code == 3
    assert call("run", untouched, "stages.0.parts={languge: {kind: full}}").code == 4


@pytest.mark.parametrize("command", ["run", "train", "evaluate", "prepare", "show", "audit"])
def test_a_file_with_variants_asks_which_one_is_meant(finished: Finished, command: str) -> None:
    before = {file: file.stat().st_mtime_ns for file in finished.runs.rglob("*") if file.is_file()}
    ended = call(command, finished.path)
    assert (ended.code, ended.out) == (2, "")
    assert "has 2 variants (low, high), and none is chosen. Choose one with --variant low" in ended.err
    assert "tunesmith run --all" in ended.err
    assert {file: file.stat().st_mtime_ns for file in finished.runs.rglob("*") if file.is_file()} == before
