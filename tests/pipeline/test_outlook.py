from __future__ import annotations

from pathlib import Path

import pytest

from tests.pipeline import pictured
from tests.pipeline.small import small_experiment
from tunesmith import load_experiment
from tunesmith.errors import ExperimentError, ModelError
from tunesmith.forecast.outlook import ways_of
from tunesmith.pipeline.audit import audited_examples
from tunesmith.pipeline.context import RunContext
from tunesmith.pipeline.outlook import outlook, parse_gib


def steps_of(folder: Path, *overrides: str) -> RunContext:
    path = small_experiment(folder)
    return RunContext(
        load_experiment(path, ["model.weights=bf16", *overrides]), folder, say=lambda text: None
    )


def keep_ways(monkeypatch: pytest.MonkeyPatch, kept: slice) -> None:
    """Ask which cards are enough for some ways of training only; each is forecast twice or more."""
    monkeypatch.setattr("tunesmith.pipeline.outlook.ways_of", lambda *asked: ways_of(*asked)[kept])


def test_every_stage_and_way_is_forecast_without_weights(tmp_path: Path) -> None:
    steps = steps_of(tmp_path)
    (tmp_path / "model" / "model.safetensors").unlink()
    found = outlook(steps, audited_examples(steps, None), 8)
    assert [stage.stage for stage in found.stages] == ["adapt"]
    assert [one.way for one in found.fits][:2] == ["full", "lora"]
    told = found.stages[0].forecasts
    assert set(told) == {"none", "selective", "full", "offload"}
    assert told["offload"].total < told["full"].total < told["none"].total
    assert found.stages[0].most_tokens["none"] > 1000
    assert found.stages[0].work.seconds > 0


def test_of_a_sample_the_time_is_that_of_all_records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keep_ways(monkeypatch, slice(0))
    steps = steps_of(tmp_path)
    whole = outlook(steps, audited_examples(steps, None)).stages[0].work.flop
    sampled = outlook(steps, audited_examples(steps, 50), None, 200).stages[0].work.flop
    assert sampled == pytest.approx(whole, rel=0.2)


def test_checkpointing_that_is_asked_for_is_the_only_one_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep_ways(monkeypatch, slice(0))
    steps = steps_of(tmp_path, "model.checkpointing=full")
    assert set(outlook(steps, audited_examples(steps, None)).stages[0].forecasts) == {"full"}


def test_pictures_count_with_the_patches_that_they_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep_ways(monkeypatch, slice(-1, None))
    steps = pictured.steps_of(pictured.pictured_experiment(tmp_path), "model.weights=bf16")
    found = outlook(steps, audited_examples(steps, None)).stages[0]
    assert found.forecasts["none"].weights.keys() == {"vision", "projector", "language"}
    assert found.forecasts["none"].activations > 0


def test_a_memory_that_is_no_size_is_told() -> None:
    assert parse_gib("24GiB") == parse_gib("24 gib") == parse_gib("24") == 24
    assert parse_gib("80GB") == pytest.approx(74.5, abs=0.1)
    for no_size in ("lots", "", "0", "0.0 GB", "-4", "24TB", "1e3", "9" * 400):
        with pytest.raises(
            ExperimentError, match=r"^--memory: got '.*'; must be a size such as 24GiB or 80GB"
        ):
            parse_gib(no_size)


def test_a_part_that_the_model_has_not_is_told_with_its_stage(tmp_path: Path) -> None:
    steps = steps_of(tmp_path, "stages.0.parts={langage: {kind: lora}}")
    with pytest.raises(ModelError, match=r"stages\.0\.parts\.langage: qwen2 has no such part .*'language'\?"):
        outlook(steps, audited_examples(steps, 5))


def test_a_model_that_cannot_be_forecast_is_told_with_the_way_around(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = steps_of(tmp_path)
    examples = audited_examples(steps, 20)

    def fail(*_: object) -> None:
        raise NotImplementedError("an operation without shapes")

    monkeypatch.setattr("tunesmith.pipeline.outlook.build_fake_model", fail)
    with pytest.raises(
        ModelError,
        match=r"^audit: the memory of qwen2 cannot be forecast \(an operation without shapes\). Leave it",
    ):
        outlook(steps, examples)
