"""`--all`: every variant runs, whatever becomes of the others."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

from tests.pipeline.small import QUICK, lora_stage, small_experiment
from tunesmith.config.read import read_variants
from tunesmith.errors import ExperimentError, ModelError
from tunesmith.pipeline.variants import run_all

VARIANTS = {
    "wrong": {"stages.0.parts": {"vision": "lora"}},
    "low": {"stages.0.parts.language.rank": 2},
    "diverges": {"stages.0.optimizer": {"learning_rate": 1e30, "max_grad_norm": None, "warmup": 0}},
    "narrow": {"model.weights": "bf16"},
}


def test_the_others_run_when_some_fail_and_all_failures_are_told_at_the_end(tmp_path: Path) -> None:
    stages = [lora_stage(epochs=None, steps=3, parts={"language": {"kind": "lora", "rank": 4}})]
    path = small_experiment(tmp_path, stages=stages, evaluate=QUICK, variants=VARIANTS)
    terminal = Console(width=1000)
    with terminal.capture() as printed, pytest.raises(ModelError) as error:
        run_all(read_variants(path), path.parent, terminal)
    head, *told = str(error.value).splitlines()
    assert head == "2 of 4 variants failed, the others are done:"
    assert told[0].startswith("wrong: ")
    assert "stages.0.parts.vision: qwen2 has no such part (language)." in told[0]
    assert any(line.startswith("diverges: stage 'adapt': training diverged at update") for line in told)
    out = printed.get()
    before, _, _ = out.partition("variant low, 2 of 4: weights fp32")
    assert "variant wrong is not run: " in before
    assert "variant narrow, 4 of 4: weights bf16" in out
    assert "train: stage adapt, 1 of 1 (narrow, bf16)" in out
    assert "Of 2 runs on 8 held-out records" in out
    runs = tmp_path / "runs" / "small"
    assert out.endswith(f"all variants: {runs / 'report.html'}\n")
    assert sorted(file.parent.name for file in runs.glob("*/report.html")) == ["low", "narrow"]


def test_an_error_that_is_nobodys_setting_keeps_no_variant_from_running(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = small_experiment(tmp_path, evaluate=QUICK, variants={"one": {}, "two": {"seed": 3}})
    ran: list[str] = []

    def fails(experiment: object, where: Path, variant: str, terminal: Console) -> Path:
        ran.append(variant)
        raise RuntimeError("out of luck")

    monkeypatch.setattr("tunesmith.pipeline.variants.run", fails)
    with pytest.raises(Exception, match=r"one: RuntimeError: out of luck \(the traceback is above\)"):
        run_all(read_variants(path), path.parent, Console(quiet=True))
    assert ran == ["one", "two"]
    assert capsys.readouterr().err.count("Traceback") == 2


def test_a_single_call_asks_for_a_variant_where_there_are_some(tmp_path: Path) -> None:
    from tunesmith import load_experiment, run

    path = small_experiment(tmp_path, variants={"one": {}, "two": {}})
    with pytest.raises(
        ExperimentError, match=r"has 2 variants \(one, two\), and none is chosen.*variant='one'"
    ):
        run(load_experiment(path), path.parent)
    assert not (tmp_path / "runs").exists()
