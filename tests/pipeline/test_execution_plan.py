from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.pipeline.small import lora_stage, small_experiment
from tunesmith import load_experiment
from tunesmith.errors import ExperimentError
from tunesmith.files import read_json
from tunesmith.forecast.fake_model import Machine
from tunesmith.forecast.memory import FRAGMENTS, forecast
from tunesmith.model.load import load
from tunesmith.model.trainable import Trainable, make_trainable
from tunesmith.pipeline import execution_plan
from tunesmith.pipeline.context import RunContext
from tunesmith.pipeline.execution_plan import plan_execution
from tunesmith.pipeline.keys import RunKeys, base_identity
from tunesmith.pipeline.stage_examples import stage_examples
from tunesmith.train.batch_plan import TOKENS, BatchPlan
from tunesmith.train.loss import answer_loss

GIB = 2**30


def begun(folder: Path, *overrides: str) -> tuple[RunContext, Trainable, BatchPlan]:
    batch = {"num_examples": 64}
    path = small_experiment(
        folder, stages=[lora_stage(batch=batch)], model={"path": "model", "device": "cpu"}
    )
    steps = RunContext(load_experiment(path, overrides), folder, say=lambda text: None)
    stage = steps.experiment.stages[0]
    trainable = make_trainable(load(steps.model), stage.parts, seed=0)
    return steps, trainable, BatchPlan.of(stage, stage_examples(steps, stage)[0].examples, seed=0)


def on_gpu(trainable: Trainable) -> Trainable:
    """As if it were on one."""
    return replace(trainable, loaded=replace(trainable.loaded, device=torch.device("cuda")))


def settled(begun: tuple[RunContext, Trainable, BatchPlan], folder: Path, gpu: bool = True) -> str:
    steps, trainable, updates = begun
    given = on_gpu(trainable) if gpu else trainable
    return plan_execution(steps, steps.experiment.stages[0], given, updates, answer_loss, folder)


def recomputes(trainable: Trainable) -> bool:
    return any(vars(module).get("gradient_checkpointing") for module in trainable.loaded.model.modules())


def test_on_a_cpu_nothing_is_recomputed_and_nothing_forecast(tmp_path: Path) -> None:
    given = begun(tmp_path)
    assert settled(given, tmp_path, gpu=False) == "checkpointing: none (on a CPU nothing is gained)"
    assert given[2].tokens_per_device == TOKENS
    assert not recomputes(given[1])
    assert not (tmp_path / "memory.json").exists()


def test_what_is_asked_for_is_done(tmp_path: Path) -> None:
    given = begun(tmp_path, "model.checkpointing=full", "stages.0.batch.max_tokens_per_microbatch=512")
    assert settled(given, tmp_path) == "checkpointing: full (asked for)"
    assert recomputes(given[1])
    assert given[2].tokens_per_device == 512


def test_on_a_gpu_with_room_a_whole_update_goes_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(execution_plan, "available_bytes", lambda device: 8 * GIB)
    given = begun(tmp_path)
    note = settled(given, tmp_path)
    assert note.startswith(
        f"checkpointing: none ({given[2].tokens_per_device:,} tokens at once take 0.1 of 7.6 GiB"
    )
    assert given[2].tokens_per_device == max(
        given[2].tokens(step) for step in range(given[2].steps_per_epoch)
    )
    assert given[2].forecast_gib == pytest.approx(0.1, abs=0.05)


def test_with_little_room_activations_are_recomputed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = begun(tmp_path)
    steps, trainable, updates = given
    made = execution_plan.fake_model(steps.model, steps.experiment.stages[0], trainable)
    from tunesmith.forecast.choose import largest_shape

    shape = largest_shape(updates, TOKENS)[0]
    both = [
        forecast(made, shape, answer_loss, steps.experiment.stages[0].optimizer, level).total
        for level in ("none", "full")
    ]
    between = sum(both) / 2 * (1 + FRAGMENTS) / 0.95
    monkeypatch.setattr(execution_plan, "available_bytes", lambda device: round(between))
    note = settled(given, tmp_path)
    assert note.startswith("checkpointing: selective (")
    assert "; with none, " in note
    assert recomputes(trainable)


def test_a_stage_that_goes_on_keeps_what_it_began_with_on_another_gpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(execution_plan, "available_bytes", lambda device: 8 * GIB)
    first = begun(tmp_path)
    settled(first, tmp_path)
    chosen = read_json(tmp_path / "memory.json")
    monkeypatch.setattr(execution_plan, "available_bytes", lambda device: 1)
    again = begun(tmp_path)
    assert settled(again, tmp_path).endswith(" tokens at once (as the stage began)")
    assert again[2].tokens_per_device == chosen["tokens_per_device"] == first[2].tokens_per_device


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"memory\.json: is damaged \(.*\)\. Delete it and run again"),
        ("{", r"memory\.json: is damaged"),
        ("[]", r"memory\.json: is damaged .*Delete it and run again"),
        (
            '{"checkpointing": "some", "tokens_per_device": 512}',
            "checkpointing: Input should be 'none', 'selective', 'full' or 'offload'",
        ),
        (
            '{"checkpointing": "none", "tokens_per_device": 0}',
            "tokens_per_device: Input should be greater than 0",
        ),
    ],
)
def test_a_damaged_choice_is_told_with_what_to_do(tmp_path: Path, text: str, message: str) -> None:
    given = begun(tmp_path)
    (tmp_path / "memory.json").write_text(text)
    with pytest.raises(ExperimentError, match=message):
        settled(given, tmp_path)


def test_selective_is_not_said_of_layers_that_do_all_again(tmp_path: Path) -> None:
    given = begun(tmp_path, "model.checkpointing=selective")
    told = settled(given, tmp_path, gpu=False)
    assert told == ("checkpointing: selective (asked for); as full, since no layer is fused here")
    assert recomputes(given[1])


def test_offload_is_not_said_of_a_cpu(tmp_path: Path) -> None:
    told = settled(begun(tmp_path, "model.checkpointing=offload"), tmp_path, gpu=False)
    assert told == "checkpointing: offload (asked for); as full, since all is in the host's memory already"


def test_the_choice_is_no_part_of_what_a_stage_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = begun(tmp_path)
    before = given[0].keys
    monkeypatch.setattr(execution_plan, "available_bytes", lambda device: 8 * GIB)
    settled(given, tmp_path)
    checksum = given[0].prepared.certificate.checksum
    assert RunKeys.of(given[0].experiment, given[0].model, checksum) == before
    levels = [
        base_identity(begun(tmp_path / level, f"model.checkpointing={level}")[0].model)
        for level in ("none", "full")
    ]
    assert [one[0] | {"path": ""} for one in levels] == [levels[0][0] | {"path": ""}] * 2


def test_the_forecast_is_for_how_the_model_runs(tmp_path: Path) -> None:
    steps, trainable, _ = begun(tmp_path)
    made = execution_plan.fake_model(steps.model, steps.experiment.stages[0], trainable)
    assert made.loaded.attention == "sdpa" != Machine().attention


def test_a_model_that_cannot_be_forecast_is_trained_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("no such operation\nand more")

    monkeypatch.setattr(execution_plan, "fake_model", fail)
    given = begun(tmp_path)
    assert settled(given, tmp_path) == "checkpointing: none (memory cannot be forecast: no such operation)"
    assert given[2].tokens_per_device == TOKENS
    assert given[2].forecast_gib is None
