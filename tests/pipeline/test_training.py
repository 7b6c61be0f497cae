from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from safetensors.numpy import load_file

from tests.pipeline.small import lora_stage, small_experiment
from tunesmith import load_experiment
from tunesmith.errors import DataError, ExperimentError, ModelError
from tunesmith.files import read_json, write_json
from tunesmith.pipeline.steps import Steps
from tunesmith.pipeline.training import (
    Trained,
    check_early,
    is_done,
    judged_records,
    make_room,
    rewind_log,
    stage_examples,
    stage_key,
    train,
    trained_before,
)

QUICK = {"examples": 8, "test_examples": 8, "resamples": 100, "metrics": ["accuracy"]}


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_experiment(tmp_path_factory.mktemp("training"), stages=[short()], evaluate=QUICK)


def short(**changes: Any) -> dict[str, Any]:
    return lora_stage(**{"epochs": None, "steps": 2, **changes})


def steps_of(path: Path, *overrides: str) -> Steps:
    return Steps(load_experiment(path, overrides), path.parent, say=lambda text: None)


def trained(steps: Steps) -> Trained:
    return train(steps, Console(quiet=True))


def key(path: Path, *overrides: str, number: int = 0, before: Trained | None = None) -> str:
    steps = steps_of(path, *overrides)
    return stage_key(steps, steps.experiment.stages[0], number, before)


@pytest.mark.parametrize(
    "override",
    [
        "seed=18",
        "model.weights=bf16",
        "model.attention=eager",
        "data.split.seed=18",
        "data.split.validation=41",
        "data.length.max_tokens=500",
        "data.length.over=drop",
        "task.prompt=What? {text}",
        "task.system=Be brief.",
        "task.shots=1",
        "task.answer=json",
        "stages.0.steps=3",
        "stages.0.batch.examples=8",
        "stages.0.batch.tokens_per_device=512",
        "stages.0.optimizer.learning_rate=1e-3",
        "stages.0.optimizer.schedule=linear",
        "stages.0.optimizer.weight_decay=0.1",
        "stages.0.parts.language.rank=4",
        "stages.0.parts.language.dropout=0",
        "stages.0.parts.language={kind: full}",
        "stages.0.where=stage == 1",
        "stages.0.order=text",
        "stages.0.together=text",
        "stages.0.trained=all",
        "evaluate.every=1 steps",
    ],
)
def test_a_stage_is_trained_anew_when_a_setting_changes_that_decides_its_weights(
    path: Path, override: str
) -> None:
    assert key(path, override) != key(path)


@pytest.mark.parametrize(
    "override",
    [
        "name=another",
        "checkpoints.every=1 steps",
        "checkpoints.keep=3",
        "model.checkpointing=true",
        "track=[{kind: tensorboard}]",
        "evaluate.test_examples=5",
        "evaluate.resamples=500",
        "evaluate.examples=5",
        "evaluate.engine={kind: generate}",
    ],
)
def test_a_stage_is_not_trained_again_for_a_setting_that_leaves_its_weights_alone(
    path: Path, override: str
) -> None:
    assert key(path, override) == key(path)


@pytest.mark.parametrize(
    "override",
    [
        "evaluate.every=2 steps",
        "evaluate.examples=7",
        "evaluate.patience=3",
        "evaluate.metric=log_loss",
        "evaluate.engine={kind: generate}",
    ],
)
def test_with_evaluations_during_training_what_chooses_the_best_checkpoint_decides_the_weights(
    path: Path, override: str
) -> None:
    every = "evaluate.every=1 steps"
    assert key(path, every, override) != key(path, every)
    assert key(path, every, "evaluate.resamples=500", "evaluate.test_examples=5") == key(path, every)


def test_a_stage_is_trained_anew_when_what_it_starts_from_or_its_place_changes(path: Path) -> None:
    keys = {
        key(path),
        key(path, number=1),
        key(path, before=Trained(path, "one")),
        key(path, before=Trained(path, "two")),
    }
    assert len(keys) == 4


def test_a_stage_is_done_only_with_the_settings_it_was_done_with(tmp_path: Path) -> None:
    assert not is_done(tmp_path, "a")
    write_json(tmp_path / "done.json", {"fingerprint": "a"})
    assert is_done(tmp_path, "a")
    assert not is_done(tmp_path, "b")


def test_an_old_result_is_moved_aside_whole_and_never_deleted(tmp_path: Path) -> None:
    folder = tmp_path / "stages" / "adapt"
    for fingerprint in ("a", "b", "c"):
        make_room(folder, fingerprint)
        assert read_json(folder / "claim.json") == fingerprint
        assert not (folder / "result").exists()
        (folder / "result").write_text(fingerprint)
    moved = sorted((tmp_path / "replaced").iterdir())
    assert [(old / "result").read_text() for old in moved] == ["a", "b"]
    assert all(old.name.startswith("adapt-") for old in moved)


def test_a_stage_that_was_interrupted_keeps_its_checkpoints(tmp_path: Path) -> None:
    make_room(tmp_path / "stages" / "adapt", "a")
    (tmp_path / "stages" / "adapt" / "checkpoint").write_text("kept")
    make_room(tmp_path / "stages" / "adapt", "a")
    assert (tmp_path / "stages" / "adapt" / "checkpoint").exists()
    assert not (tmp_path / "replaced").exists()


def test_only_later_updates_of_the_stage_are_taken_back_from_the_log(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    first = [
        {"event": "update", "stage": "first", "step": 9},
        {"event": "stage_end", "stage": "first", "step": 9},
    ]
    kept = [
        {"event": "stage_start", "stage": "second", "step": 0},
        {"event": "update", "stage": "second", "step": 3, "note": "früh 🙂\u2028"},
        {"event": "evaluation", "stage": "second", "step": 3},
    ]
    undone = [
        {"event": "update", "stage": "second", "step": 4},
        {"event": "evaluation", "stage": "second", "step": 4},
        {"event": "stage_end", "stage": "second", "step": 3},
    ]
    lines = [json.dumps(event, ensure_ascii=False) for event in [*first, *kept, *undone]]
    log.write_text("\n".join(lines) + '\n{"event": "update", "sta', encoding="utf-8")
    rewind_log(log, "second", 3)
    text = log.read_text(encoding="utf-8")
    assert [json.loads(line) for line in text.rstrip("\n").split("\n")] == [*first, *kept]
    assert text.endswith("\n")


def test_a_run_that_has_no_log_yet_has_nothing_to_take_back(tmp_path: Path) -> None:
    rewind_log(tmp_path / "log.jsonl", "first", 0)
    assert list(tmp_path.iterdir()) == []


def test_solved_examples_in_the_prompt_are_not_trained_on(path: Path) -> None:
    steps = steps_of(path, "task.shots=5")
    rendered, sort_by, _ = stage_examples(steps, steps.experiment.stages[0])
    seen = {example.record for example in rendered.examples}
    shots = {shot.record for shot in steps.shots}
    train_side = {record.id for record in steps.prepared.records("train")}
    assert len(shots) == 5
    assert seen == train_side - shots
    assert sort_by is None


def test_records_are_put_in_the_order_of_the_field_that_was_asked_for(path: Path) -> None:
    steps = steps_of(path, "stages.0.order=text", "data.length={max_tokens: 34, over: drop}")
    rendered, sort_by, _ = stage_examples(steps, steps.experiment.stages[0])
    assert rendered.too_long
    texts = {record.id: record.fields["text"] for record in steps.prepared.records("train")}
    assert sort_by == [texts[example.record] for example in rendered.examples]


@pytest.mark.parametrize(
    ("override", "error", "message"),
    [
        (
            "stages.0.where=stage == 7",
            DataError,
            r"stage 'adapt': where 'stage == 7' holds for none of 2",
        ),
        ("stages.0.where=stag == 1", DataError, r"rows\.jsonl:\d+: where .*no field 'stag'.*mean 'stage'"),
        ("stages.0.where=stage", ExperimentError, r"where: 'stage': 'stage' cannot stand here"),
        (
            "stages.0.order=txt",
            DataError,
            r"rows\.jsonl:\d+: stages\.0\.order: there is no field 'txt' \(label, stage, text\)\. Did you mean "
            r"'text'\? Of 200 records 199 others lack it too\.",
        ),
        (
            "evaluate.by=[stge]",
            DataError,
            r"rows\.jsonl:\d+: evaluate\.by: there is no field 'stge'.*Did you mean 'stage'",
        ),
        ("evaluate.metric=acuracy", ExperimentError, r"no metric 'acuracy'.*Did you mean 'accuracy'"),
    ],
)
def test_what_a_stage_cannot_be_trained_on_is_told_before_anything_long_begins(
    path: Path, override: str, error: type[Exception], message: str
) -> None:
    steps = steps_of(path, override, "name=early", "model.path=model")
    with pytest.raises(error, match=message):
        check_early(steps)
    assert "base_model" not in vars(steps)


def test_evaluations_during_training_without_validation_records_are_refused_early(path: Path) -> None:
    steps = steps_of(path, "evaluate.every=1 epoch", "data.split.validation=0")
    with pytest.raises(
        ExperimentError, match=r"evaluate\.every: there are no validation records.*set data\.spl"
    ):
        check_early(steps)
    assert list(judged_records(steps_of(path, "data.split.validation=0"))) == []


def test_a_condition_of_a_later_stage_that_is_none_is_told_before_the_first_is_trained(
    tmp_path: Path,
) -> None:
    stages = [short(name="first"), short(name="second", where="stage ==")]
    steps = steps_of(small_experiment(tmp_path, stages=stages, evaluate=QUICK))
    with pytest.raises(ExperimentError, match="where: 'stage ==' is not a condition"):
        check_early(steps)


def test_parts_that_the_model_does_not_have_are_all_told_before_anything_long_begins(tmp_path: Path) -> None:
    stages = [
        short(name="first", parts={"language": "full", "vision": "full"}),
        short(name="second", parts={"lnguage": "full"}),
    ]
    steps = steps_of(small_experiment(tmp_path, stages=stages, evaluate=QUICK))
    with pytest.raises(ModelError) as error:
        check_early(steps)
    assert str(error.value).splitlines() == [
        "stages.0.parts.vision: qwen2 has no such part (language).",
        "stages.1.parts.lnguage: qwen2 has no such part (language). Did you mean 'language'?",
    ]
    assert "base_model" not in vars(steps)


def test_evaluations_during_training_look_at_a_fixed_sample_of_the_validation_side(path: Path) -> None:
    sample = [record.id for record in judged_records(steps_of(path, "evaluate.every=1 epoch"))]
    assert len(sample) == 8
    validation = [record.id for record in steps_of(path).prepared.records("validation")]
    assert sample == [record for record in validation if record in sample]
    assert sample == [record.id for record in judged_records(steps_of(path, "evaluate.every=1 epoch"))]


def test_results_are_refused_until_they_are_trained_with_the_same_settings(tmp_path: Path) -> None:
    path = small_experiment(tmp_path, stages=[short(steps=1)], evaluate=QUICK)
    with pytest.raises(ExperimentError, match=r"stage 'adapt' is not trained yet.*tunesmith train"):
        trained_before(steps_of(path))
    result = trained(steps_of(path))
    assert trained_before(steps_of(path)) == result
    assert trained_before(steps_of(path, "evaluate.test_examples=5")) == result
    with pytest.raises(ExperimentError, match="not trained yet with these settings"):
        trained_before(steps_of(path, "seed=4"))


@pytest.fixture(scope="module")
def two_from_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    stages = [short(name="first", steps=1), short(name="second", steps=1, **{"from": "base"})]
    path = small_experiment(tmp_path_factory.mktemp("two"), stages=stages, evaluate=QUICK)
    trained(steps_of(path))
    return path


def adapter(path: Path, stage: str) -> dict[str, Any]:
    return load_file(steps_of(path).folder.stage(stage) / "adapter" / "adapter_model.safetensors")


def test_two_stages_from_the_base_start_alike_and_the_lineage_says_so(two_from_base: Path) -> None:
    lineage = read_json(steps_of(two_from_base).folder.path / "lineage.json")
    assert [entry["started_from"] for entry in lineage] == ["base", "base"]
    assert lineage[0]["started_from_key"] == lineage[1]["started_from_key"]
    first, second = adapter(two_from_base, "first"), adapter(two_from_base, "second")
    assert first.keys() == second.keys()
    assert any((first[name] != second[name]).any() for name in first)


def test_a_stage_from_the_base_is_what_it_would_be_whatever_came_before(
    two_from_base: Path, tmp_path: Path
) -> None:
    before = adapter(two_from_base, "second")
    done = steps_of(two_from_base).folder.stage("second") / "done.json"
    written = done.stat().st_mtime_ns
    trained(steps_of(two_from_base, "stages.0.optimizer.learning_rate=0.1"))
    assert done.stat().st_mtime_ns == written
    other = small_experiment(
        tmp_path,
        stages=[
            short(name="first", steps=2, where="stage == 1"),
            short(name="second", steps=1, **{"from": "base"}),
        ],
        evaluate=QUICK,
    )
    trained(steps_of(other))
    after = adapter(other, "second")
    assert all((before[name] == after[name]).all() for name in before)


def test_what_training_leaves_tells_steps_size_and_what_was_trained(two_from_base: Path) -> None:
    folder = steps_of(two_from_base).folder
    done = read_json(folder.stage("second") / "done.json")
    assert done["steps"] == 1
    assert done["bytes"] == sum(file.stat().st_size for file in folder.stage("second").glob("adapter/*.saf*"))
    (part,) = read_json(folder.stage("second") / "parts.json")
    assert (part["part"], part["method"]) == ("language", "lora")
    assert read_json(folder.path / "audit.json")["samples"] == 200


def test_a_field_that_records_of_a_later_stage_lack_is_told_before_the_first_is_trained(path: Path) -> None:
    stages = "stages=[{name: a, parts: {language: lora}, together: text}, {name: b, parts: {language: lora}, "
    steps = steps_of(path, stages + "together: txt, order: stag}]", "name=later", "model.path=model")
    with pytest.raises(DataError) as error:
        check_early(steps)
    first, second = str(error.value).splitlines()
    assert "stages.1.order: there is no field 'stag' (label, stage, text). Did you mean 'stage'?" in first
    assert "stages.1.together: there is no field 'txt' (label, stage, text). Did you mean 'text'?" in second


@pytest.mark.parametrize("text", ["", "{", "[1"])
def test_a_damaged_note_of_a_run_is_told_with_what_to_do(tmp_path: Path, text: str) -> None:
    (tmp_path / "done.json").write_text(text)
    with pytest.raises(ExperimentError, match=r"done\.json: is damaged \(.*\)\. Delete it and run again"):
        is_done(tmp_path, "a")


def test_what_lies_in_a_stage_without_a_claim_is_moved_aside_and_not_gone_on_with(tmp_path: Path) -> None:
    stage = tmp_path / "stages" / "adapt"
    (stage / "checkpoints" / "step-3").mkdir(parents=True)
    make_room(stage, "a")
    assert [file.name for file in stage.iterdir()] == ["claim.json"]
    (aside,) = (tmp_path / "replaced").iterdir()
    assert (aside / "checkpoints" / "step-3").is_dir()
    (stage / "checkpoints").mkdir()
    make_room(stage, "a")
    assert (stage / "checkpoints").is_dir()
