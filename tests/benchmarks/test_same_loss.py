"""The whole loop ends where a plain one of transformers and PEFT in fp32 ends, and the benchmark would say if not."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from benchmarks.same_loss import __main__ as benchmark
from benchmarks.same_loss import ours
from benchmarks.same_loss.__main__ import compare, main, parsed
from benchmarks.same_loss.one import measured
from benchmarks.same_loss.settings import RATES_OF_TOYS, SETTINGS, YARDSTICK, Job, Reference, Setting
from benchmarks.same_loss.table import Results, Row, of_reference, row, table

from tests.once import once
from tunesmith.batching.batch import Batch
from tunesmith.model.loaded import LoadedModel
from tunesmith.train.loss import Loss

STEPS = 12
EXACT = 1e-3
"""Per cent: in fp32 nothing differs but the order of sums."""
NAMES = (
    "lora-fp32", "lora-fp32-micro-batches-checkpointing", "lora-bf16", "lora-bf16-checkpointing",
    "lora-bf16-micro-batches", "lora-nf4", "lora-nf4-fp8", "lora-fp8", "full-fp32", "full-bf16",
    "full-bf16-checkpointing", "head-fp32", "head-bf16", "lora+head-fp32", "lora+head-bf16", "pictures-lora-fp32",
    "pictures-lora-bf16",
)  # fmt: skip
"""What runs on a CPU."""


def named(name: str) -> Setting:
    return next(setting for setting in SETTINGS if setting.name == name)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    def train_all(folder: Path) -> None:
        asked = parsed(["--small", "--steps", str(STEPS), "--held-out", "32", "--at-once", "0"])
        results = compare(folder, asked, [named(name) for name in NAMES])
        (folder / "results.pickle").write_bytes(pickle.dumps(results))

    return once(tmp_path_factory, "same-loss", train_all)


@pytest.fixture(scope="session")
def results(folder: Path) -> Results:
    results: Results = pickle.loads((folder / "results.pickle").read_bytes())
    return results


@pytest.mark.parametrize("name", NAMES)
def test_training_ends_where_a_plain_loop_ends(name: str, results: Results) -> None:
    found = row(named(name), results)
    assert isinstance(found, Row), found
    assert found.is_same, found
    assert abs(found.of_learnt) < 5, found
    learnt = results[named(name).reference]
    assert learnt["after"] < learnt["before"] * 0.985


@pytest.mark.parametrize("name", [name for name in NAMES if "fp32" in name])
def test_in_fp32_every_update_has_the_loss_of_a_plain_loop(name: str, results: Results) -> None:
    found = row(named(name), results)
    assert isinstance(found, Row), found
    assert max(abs(found.off_training), abs(found.off_held_out)) < EXACT, found
    setting = named(name)
    assert results[setting]["losses"] == pytest.approx(results[setting.reference]["losses"], rel=EXACT / 100)


def test_updates_in_micro_batches_really_are_cut(results: Results) -> None:
    assert results[named("lora-fp32")]["micro_batches"] == 1
    assert results[named("lora-fp32-micro-batches-checkpointing")]["micro_batches"] > 1


def toy_job(folder: Path, name: str, factor: float = 1.0) -> Job:
    setting = named(name)
    return Job(setting, folder / "text", folder, STEPS, RATES_OF_TOYS[setting.method] * factor)


def test_twice_the_learning_rate_is_found_to_be_another_training(folder: Path, results: Results) -> None:
    setting = named("lora-fp32")
    found = row(setting, {**results, setting: measured(toy_job(folder, setting.name, factor=2))})
    assert isinstance(found, Row)
    assert not found.is_same
    assert "**over 0.5 %**" in str(found)


def test_a_loss_per_micro_batch_instead_of_per_update_is_found(
    folder: Path, results: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    setting = named("lora-fp32-micro-batches-checkpointing")

    def backward(loaded: LoadedModel, batches: Sequence[Batch], loss: Loss) -> torch.Tensor:
        sums = [loss(loaded, batch) for batch in batches]
        for nats, batch in zip(sums, batches, strict=True):
            (nats / loss.weight(batch) / len(batches)).backward()  # type: ignore[no-untyped-call]
        return torch.stack(sums).sum().detach()

    monkeypatch.setattr("tunesmith.train.fit.backward", backward)
    found = row(setting, {**results, setting: measured(toy_job(folder, setting.name))})
    assert isinstance(found, Row), found
    assert abs(found.off_held_out) > 10 * EXACT


def test_an_adapter_that_begins_elsewhere_is_told(
    folder: Path, results: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ours, "SEED", 18)
    setting = named("lora-fp32")
    found = row(setting, {**results, setting: measured(toy_job(folder, setting.name))})
    assert isinstance(found, Row), found
    assert max(abs(found.off_training), abs(found.off_held_out)) < EXACT
    assert not found.is_same
    assert "**begins elsewhere**" in str(found)


def test_a_setting_without_its_reference_says_so() -> None:
    setting = named("lora-nf4")
    own = {"losses": [1.0], "before": 2.0, "after": 1.0, "begins_alike": True}
    assert row(setting, {}) == "| lora-nf4: did not run |"
    assert row(setting, {setting: own}) == "| lora-nf4: there is no reference (did not run) |"
    stopped = {"error": "stopped when the time was over"}
    assert (
        of_reference(Reference("full"), {Reference("full"): stopped})
        == f"| reference full: {stopped['error']} |"
    )


def test_the_plain_loop_in_16_bits_stands_beside_as_a_yardstick(results: Results) -> None:
    losses = results[YARDSTICK]["losses"]
    assert losses != results[Reference("lora")]["losses"]
    assert losses == pytest.approx(results[Reference("lora")]["losses"], rel=5e-3)
    assert "| the same plain loop of lora in bf16 | " in table(results, [named("lora-bf16")])


def test_what_is_no_number_is_not_the_same() -> None:
    result = {"losses": [float("nan")], "before": 2.0, "after": float("nan"), "begins_alike": True}
    setting = named("lora-fp32")
    found = row(setting, {setting: result, setting.reference: {"losses": [1.0], "before": 2.0, "after": 1.0}})
    assert isinstance(found, Row)
    assert not found.is_same


def test_quantised_weights_are_also_held_to_those_that_are_not(results: Results) -> None:
    for name in ("lora-nf4", "lora-fp8"):
        found = row(named(name), results)
        assert isinstance(found, Row), found
        assert found.from_plain is not None
        assert abs(found.from_plain) > abs(found.off_held_out)


@pytest.mark.slow
def test_runs_in_processes_of_their_own_print_one_table(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    in_its_own = benchmark._in_process

    def ran(job: Job, *rest: float) -> dict[str, Any]:
        """The loops that a setting of lora is held to run here; three processes are enough to wait for."""
        is_held_to = isinstance(job.what, Reference) and job.what.method == "lora"
        return measured(job) if is_held_to else in_its_own(job, *rest)

    monkeypatch.setattr(benchmark, "_in_process", ran)
    asked = ["--small", "--steps", "2", "--held-out", "16", "--settings", "head-fp32", "lora-bf16-fused"]
    assert main([*asked, "--at-once", "1", "--limit", "250"]) == 0
    said = capsys.readouterr().out
    assert "| head-fp32 |" in said
    assert "lora-bf16-fused" in said


def test_runs_for_which_no_time_is_left_say_so_and_the_benchmark_ends_with_a_fault(
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked = ["--small", "--steps", "1", "--held-out", "16", "--settings", "head-fp32", "--limit", "0"]
    assert main([*asked, "--at-once", "1"]) == 1
    assert "| head-fp32: no time was left for it |" in capsys.readouterr().out


def test_what_is_known_is_not_done_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "losses.json"
    given = ["--small", "--steps", "2", "--held-out", "8", "--at-once", "0", "--settings", "lora-fp32"]
    assert main([*given, "--out", str(out)]) == 0
    first = capsys.readouterr().out
    assert main([*given, "--out", str(out), "--continue"]) == 0
    again = capsys.readouterr().out
    assert "0 runs of 2 updates, 2 known" in again
    assert [line for line in again.splitlines() if line.startswith("| lora-fp32")] == [
        line for line in first.splitlines() if line.startswith("| lora-fp32")
    ]


def test_a_job_is_the_same_after_its_file() -> None:
    for what in (named("lora-nf4"), replace(Reference("full"), sees=True)):
        job = Job(what, Path("model"), Path("material"), 3, 1e-3)
        assert Job.from_json(job.to_json()) == job
