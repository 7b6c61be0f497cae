"""`tunesmith train` trains, and nothing else."""

from __future__ import annotations

from pathlib import Path

from tests.cli.calling import call
from tests.cli.conftest import Finished
from tunesmith.files import read_json
from tunesmith.pipeline.folder import at_work


def test_every_stage_is_trained_and_nothing_is_evaluated(untouched: Path) -> None:
    ended = call("train", untouched, "stages.0.steps=2")
    assert ended.code == 0, ended.err
    run = untouched.parent / "runs" / "small" / "main"
    assert ended.out.endswith(f"trained: {run / 'stages' / 'adapt'}\n")
    assert read_json(run / "stages" / "adapt" / "done.json")["steps"] == 2
    assert (run / "stages" / "adapt" / "adapter" / "adapter_model.safetensors").exists()
    assert (run / "experiment.yaml").exists()
    assert not (run / "evaluation").exists()
    assert not list(run.parent.glob("base-*"))


def test_what_is_trained_is_not_trained_again(finished: Finished) -> None:
    result = finished.runs / "low" / "stages" / "adapt"
    before = (result / "done.json").stat().st_mtime_ns
    ended = call("train", finished.path, "--variant", "low")
    assert ended.code == 0
    assert ended.out.endswith(f"trained: {result}\n")
    assert "train: stage" not in ended.out
    assert (result / "done.json").stat().st_mtime_ns == before


def test_an_unknown_variant_is_2(finished: Finished) -> None:
    ended = call("train", finished.path, "--variant", "lo")
    assert ended.code == 2
    assert "Did you mean 'low'?" in ended.err


def test_what_a_stage_cannot_train_on_is_3_and_says_where(untouched: Path) -> None:
    ended = call("train", untouched, "stages.0.where=stage == 3")
    assert ended.code == 3
    assert "error: stage 'adapt': where 'stage == 3' holds for none of 200 training records" in ended.err


def test_two_trainings_of_one_run_do_not_disturb_each_other(untouched: Path) -> None:
    with at_work(untouched.parent / "runs" / "small" / "main"):
        ended = call("train", untouched)
    assert ended.code == 2
    assert "is at work on this run" in ended.err


def test_what_a_later_stage_cannot_do_is_told_before_the_first_is_trained(untouched: Path) -> None:
    second = "{name: second, parts: {lnguage: full}, steps: 1}"
    first = "{name: first, parts: {language: full}, steps: 1}"
    ended = call("train", untouched, f"stages=[{first}, {second}]")
    assert ended.code == 4
    assert "stages.1.parts.lnguage: qwen2 has no such part (language). Did you mean 'language'?" in ended.err
    assert not (untouched.parent / "runs/small/main/stages").exists()
