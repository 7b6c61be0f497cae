"""`tunesmith evaluate` compares base and tuned model on the held-out records."""

from __future__ import annotations

from pathlib import Path

from tests.cli.calling import call
from tests.cli.conftest import Finished
from tunesmith.files import read_json


def test_before_training_it_says_at_once_what_to_do_first(untouched: Path) -> None:
    ended = call("evaluate", untouched)
    assert ended.code == 2
    assert "stage 'adapt' is not trained yet with these settings. Call `tunesmith train`" in ended.err
    assert "baseline" not in ended.out
    assert not list((untouched.parent / "runs" / "small").glob("base-*"))


def test_the_base_alone_needs_no_training(untouched: Path) -> None:
    ended = call("evaluate", untouched, "--base")
    assert ended.code == 0, ended.err
    (base,) = (untouched.parent / "runs" / "small").glob("base-*")
    assert f"base: {base}\n" in ended.out
    assert any(line.startswith("Accuracy") and "%" in line for line in ended.out.splitlines())
    assert read_json(base / "scores.json")["records"] == 20


def test_what_was_evaluated_is_found_and_not_done_again(finished: Finished) -> None:
    ended = call("evaluate", finished.path, "--variant", "high")
    assert ended.code == 0
    (base,) = finished.runs.glob("base-*")
    assert f"base: {base}\ntuned: {finished.runs / 'high' / 'evaluation'}\n" in ended.out
    assert any(line.split()[:1] == ["Accuracy"] and line.count("%") == 2 for line in ended.out.splitlines())
    assert "baseline:" not in ended.out


def test_a_trained_model_can_be_evaluated_on_other_records_without_training_it_again(untouched: Path) -> None:
    assert call("train", untouched).code == 0
    ended = call("evaluate", untouched, "evaluate.max_test_records=5")
    assert ended.code == 0, ended.err
    run = untouched.parent / "runs" / "small" / "main"
    assert read_json(run / "evaluation" / "comparison.json")["records"] == 5
    assert "max_test_records: 5" in (run / "experiment.yaml").read_text()
    ended = call("evaluate", untouched, "evaluate.max_test_records=6")
    assert ended.code == 0, ended.err
    assert "train: stage adapt is trained already" in ended.out
    assert read_json(run / "evaluation" / "comparison.json")["records"] == 5
    assert read_json(run.with_name("main@2") / "evaluation" / "comparison.json")["records"] == 6


def test_an_unknown_variant_is_2(finished: Finished) -> None:
    assert "Did you mean 'high'?" in call("evaluate", finished.path, "--variant", "hig").err
