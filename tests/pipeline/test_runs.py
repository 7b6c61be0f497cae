"""A call means the run of its settings; with others it begins a new one, and no run is ever changed by it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from rich.console import Console

from tests.pipeline.small import QUICK, short, small_experiment, steps_of
from tunesmith import load_experiment, load_result, run
from tunesmith.errors import ExperimentError, TunesmithError
from tunesmith.files import write_json
from tunesmith.pipeline.claim import claimed
from tunesmith.pipeline.runs import is_done
from tunesmith.report.compare import compare_folders
from tunesmith.runs.stage import DONE, StageResult
from tunesmith.train.observers.tensorboard import Tensorboard


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_experiment(tmp_path_factory.mktemp("keys"), stages=[short()], evaluate=QUICK)


def test_a_stage_is_done_only_with_the_settings_it_was_done_with(tmp_path: Path) -> None:
    assert not is_done(tmp_path, "a")
    DONE.write(tmp_path, StageResult("a", steps=1, seconds=1.0))
    assert is_done(tmp_path, "a")
    assert not is_done(tmp_path, "b")


@pytest.mark.parametrize("text", ["", "{", "[1"])
def test_a_damaged_note_of_a_run_is_told_with_what_to_do(tmp_path: Path, text: str) -> None:
    (tmp_path / "done.json").write_text(text)
    with pytest.raises(ExperimentError, match=r"done\.json: is damaged \(.*\)\. Delete it and run again"):
        is_done(tmp_path, "a")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An experiment of two stages that has been run once; tests leave that run as it is."""
    stages = [short(name="first", steps=1), short(name="second", steps=1)]
    path = small_experiment(tmp_path_factory.mktemp("finished"), stages=stages, evaluate=QUICK)
    run(load_experiment(path), path.parent, terminal=Console(quiet=True))
    return path


def contents(folder: Path) -> dict[str, str]:
    """Checksum of every file but the lock."""
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*"))
        if file.is_file() and file.name != ".lock"
    }


def run_again(path: Path, *overrides: str) -> tuple[Path, str]:
    """The run folder of a call with these overrides, and what it printed."""
    terminal = Console(width=1000, record=True, quiet=True)
    terminal.quiet = False
    with terminal.capture() as printed:
        folder = run(load_experiment(path, overrides), path.parent, terminal=terminal)
    return folder, printed.get()


def test_a_finished_run_stays_as_it_is_byte_for_byte_when_it_is_called_again(finished: Path) -> None:
    main = finished.parent / "runs" / "small" / "main"
    before = contents(main)
    assert run_again(finished)[0] == main
    assert run_again(finished, "checkpoints.num_to_keep=3", "track=[tensorboard]")[0] == main
    assert contents(main) == before


@pytest.mark.parametrize(
    ("override", "taken"),
    [
        ("stages.0.optimizer.learning_rate=1e-3", []),
        ("stages.1.optimizer.learning_rate=1e-3", ["first"]),
        ("evaluate.by=[stage]", ["first", "second"]),
        ("evaluate.metric=log_loss", ["first", "second"]),
    ],
)
def test_changed_settings_make_a_new_run_that_trains_only_what_they_change(
    finished: Path, override: str, taken: list[str]
) -> None:
    experiment = finished.parent / "runs" / "small"
    before = {folder: contents(folder) for folder in experiment.glob("main*")}
    folder, printed = run_again(finished, override)
    assert folder not in before
    assert folder.name == f"main@{len(before) + 1}"
    assert f"{override.partition('=')[0]}: " in printed
    assert "stays as it is" in printed
    assert [
        name for name in ("first", "second") if f"train: stage {name} is trained already" in printed
    ] == taken
    assert {old: contents(old) for old in before} == before
    assert override.partition("=")[0].rpartition(".")[2] in (folder / "experiment.yaml").read_text()
    events = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert [event["stage"] for event in events if event["event"] == "update"] == ["first", "second"]
    for file in ("report.html", "audit.json", "lineage.json", "evaluation/comparison.json"):
        assert (folder / file).exists()
    again, printed = run_again(finished, override)
    assert (again, "new run" in printed) == (folder, False)


@pytest.mark.parametrize(
    "overrides",
    [
        ["data.source.path=nowhere.jsonl"],
        ["stages.1.where=stage =="],
        ["evaluate.metric=acc"],
        ["stages.0.steps=3", "evaluate.by=[nowhere]"],
        ["stages.0.steps=3", "stages.1.order=nowhere"],
        ["stages.0.steps=3", "track=[tensorboard]"],
    ],
)
def test_a_call_that_fails_changes_no_run_and_begins_none(
    finished: Path, monkeypatch: pytest.MonkeyPatch, overrides: list[str]
) -> None:
    def no_login(self: Tensorboard) -> None:
        raise ExperimentError("track: no login")

    monkeypatch.setattr(Tensorboard, "check", no_login)
    experiment = finished.parent / "runs" / "small"
    before = {folder: contents(folder) for folder in experiment.glob("main*")}
    with pytest.raises(TunesmithError):
        run_again(finished, *overrides)
    assert {folder: contents(folder) for folder in experiment.glob("main*")} == before


def test_the_new_run_is_found_by_every_command_that_takes_a_run(finished: Path) -> None:
    folder, _ = run_again(finished, "seed=4")
    assert load_result(folder).folder == folder / "stages" / "second"
    names = [entry.name for entry in compare_folders([folder.parent / "main", folder], folder).entries]
    assert {"main", folder.name} <= set(names)
    (inside, *_) = folder.parent.glob("*/run.json")
    with pytest.raises(ExperimentError, match=folder.name):
        load_result(inside.parents[1])


def test_changed_data_make_a_new_run_and_are_told_as_the_reason(tmp_path: Path) -> None:
    path = small_experiment(tmp_path, stages=[short(steps=1)], evaluate=QUICK)
    first, _ = run_again(path)
    before = contents(first)
    with (tmp_path / "rows.jsonl").open("a") as rows:
        rows.write(json.dumps({"text": "an old kiwi by the road", "label": "fruit", "stage": 1}) + "\n")
    second, printed = run_again(path)
    assert second.name == "main@2"
    assert "the data have changed" in printed
    assert contents(first) == before


def test_a_damaged_result_is_not_taken_over_but_trained_again(tmp_path: Path) -> None:
    path = small_experiment(tmp_path, stages=[short(steps=1)], evaluate=QUICK)
    first, _ = run_again(path)
    weights = first / "stages" / "adapt" / "adapter" / "adapter_model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    second, printed = run_again(path, "evaluate.by=[stage]")
    assert f"stage adapt is trained again because {first / 'stages' / 'adapt'} is damaged" in printed
    assert (second / "stages" / "adapt" / "adapter" / "adapter_model.safetensors").read_bytes() == whole


def test_an_interrupted_run_loses_nothing_when_its_settings_change(path: Path) -> None:
    begun = steps_of(path, "name=begun")
    with claimed(begun) as folder:
        write_json(folder.stage("adapt") / "claim.json", begun.keys.stages["adapt"])
        (folder.stage("adapt") / "checkpoints").mkdir()
        (folder.stage("adapt") / "checkpoints" / "kept").write_text("of two updates")
    said: list[str] = []
    with claimed(steps_of(path, "name=begun", "seed=3", said=said)) as other:
        assert other.name == "main@2"
    assert any("(seed: 17 -> 3)" in text for text in said)
    assert steps_of(path, "name=begun").folder == folder
    assert (folder.stage("adapt") / "checkpoints" / "kept").read_text() == "of two updates"


def test_a_folder_in_which_nothing_has_begun_is_taken_and_not_counted(path: Path) -> None:
    with claimed(steps_of(path, "name=unbegun")) as folder:
        pass
    with claimed(steps_of(path, "name=unbegun", "seed=3")) as other:
        assert other == folder
    assert "seed: 3" in (folder.path / "experiment.yaml").read_text()


def test_two_calls_with_different_settings_at_once_get_a_run_each(path: Path) -> None:
    with (
        claimed(steps_of(path, "name=at-once")) as first,
        claimed(steps_of(path, "name=at-once", "seed=3")) as second,
    ):
        assert (first.name, second.name) == ("main", "main@2")
        with (
            pytest.raises(ExperimentError, match="is at work on this run"),
            claimed(steps_of(path, "name=at-once")),
        ):
            pass


def test_a_stage_that_somebody_else_put_there_is_neither_gone_on_with_nor_touched(path: Path) -> None:
    steps = steps_of(path, "name=foreign")
    foreign = steps.shared.path / "main" / "stages" / "adapt" / "checkpoints" / "step-1"
    foreign.mkdir(parents=True)
    assert steps.folder.name == "main@2"


def test_no_variant_can_be_taken_for_the_second_run_of_another(path: Path) -> None:
    steps = steps_of(path, "name=named")
    (steps.shared.path / "main-2").mkdir(parents=True)
    (steps.shared.path / "main@1").mkdir()
    (steps.shared.path / "main@x").mkdir()
    assert [run.name for run in steps.shared.runs("main")] == []
    with pytest.raises(ExperimentError, match="main@2"):
        load_experiment(path, ["variants={main@2: {seed: 3}}"])
