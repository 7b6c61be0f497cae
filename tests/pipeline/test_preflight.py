"""What would stop a run later is told before anything is written to a run folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.pipeline.small import QUICK, short, small_experiment, steps_of, write_rows
from tunesmith.errors import DataError, ExperimentError, ModelError
from tunesmith.pipeline.context import RunContext
from tunesmith.pipeline.preflight import check
from tunesmith.pipeline.validation import validation_records


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_experiment(tmp_path_factory.mktemp("checks"), stages=[short()], evaluate=QUICK)


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
        check(steps)
    assert "base_model" not in vars(steps)


def test_a_limit_that_cuts_reference_answers_is_told_before_anything_is_trained(tmp_path: Path) -> None:
    task = {"kind": "answer", "prompt": "Repeat: {text}", "field": "text"}
    quick = {"max_test_records": 8, "num_resamples": 100}
    path = small_experiment(tmp_path, stages=[short()], evaluate=quick, task=task)
    said: list[str] = []

    def with_limit(limit: int) -> RunContext:
        said.clear()
        return steps_of(path, f"evaluate.engine={{kind: generate, max_new_tokens: {limit}}}", said=said)

    with pytest.raises(ExperimentError, match=r"2 tokens are fewer than (\d+) of \1 reference") as error:
        check(with_limit(2))
    longest = int(str(error.value).partition(", has ")[2].partition(")")[0])
    check(with_limit(longest - 1))
    assert any("tokens are fewer than" in text and "Set it to" in text for text in said)
    check(with_limit(longest))
    assert not any("warning" in text for text in said)


def test_evaluations_during_training_without_validation_records_are_refused_early(path: Path) -> None:
    steps = steps_of(path, "evaluate.every=1 epoch", "data.split.validation=0")
    with pytest.raises(
        ExperimentError, match=r"evaluate\.every: there are no validation records.*set data\.spl"
    ):
        check(steps)
    assert list(validation_records(steps_of(path, "data.split.validation=0"))) == []


def test_a_condition_of_a_later_stage_that_is_none_is_told_before_the_first_is_trained(
    tmp_path: Path,
) -> None:
    stages = [short(name="first"), short(name="second", where="stage ==")]
    steps = steps_of(small_experiment(tmp_path, stages=stages, evaluate=QUICK))
    with pytest.raises(ExperimentError, match="where: 'stage ==' is not a condition"):
        check(steps)


def test_parts_that_the_model_does_not_have_are_all_told_before_anything_long_begins(tmp_path: Path) -> None:
    stages = [
        short(name="first", parts={"language": "full", "vision": "full"}),
        short(name="second", parts={"lnguage": "full"}),
    ]
    steps = steps_of(small_experiment(tmp_path, stages=stages, evaluate=QUICK))
    with pytest.raises(ModelError) as error:
        check(steps)
    head, *lines = str(error.value).splitlines()
    assert head == f"{steps.where / 'small.yaml'} has 2 faults:"
    assert [line.partition("yaml:")[2].partition(": ")[2] for line in lines] == [
        "stages.0.parts.vision: qwen2 has no such part (language).",
        "stages.1.parts.lnguage: qwen2 has no such part (language). Did you mean 'language'?",
    ]
    assert "base_model" not in vars(steps)


def test_a_field_that_records_of_a_later_stage_lack_is_told_before_the_first_is_trained(path: Path) -> None:
    stages = "stages=[{name: a, parts: {language: lora}, group_by: text}, {name: b, parts: {language: lora}, "
    steps = steps_of(path, stages + "group_by: txt, order: stag}]", "name=later", "model.path=model")
    with pytest.raises(DataError) as error:
        check(steps)
    first, second = str(error.value).splitlines()
    assert "stages.1.order: there is no field 'stag' (label, stage, text). Did you mean 'stage'?" in first
    assert "stages.1.group_by: there is no field 'txt' (label, stage, text). Did you mean 'text'?" in second


def test_all_faults_of_the_settings_are_told_at_once_with_their_lines_before_any_record_is_read(
    tmp_path: Path,
) -> None:
    path = small_experiment(
        tmp_path,
        stages=[short(parts={"lnguage": "lora"}), short(name="second", where="label = 'fruit'")],
        evaluate=QUICK | {"every": "1 epoch", "metric": "acc", "metrics": ["accuracy", "rouge_l"]},
    )
    split = path.read_text().replace("validation: 40", "validation: 0")
    path.write_text(split)
    with pytest.raises(ExperimentError) as error:
        check(steps_of(path))
    head, *lines = str(error.value).split("\n  ")
    assert head == f"{path} has 5 faults:"
    at = {line.strip().partition(":")[0]: number for number, line in enumerate(split.splitlines(), 1)}
    assert lines[0].startswith(f"{path}:{at['metrics'] + 2}: evaluate.metrics.1: 'rouge_l' needs")
    assert lines[1].startswith(
        f"{path}:{at['metric']}: evaluate.metric: there is no metric 'acc'; possible here: "
    )
    assert lines[1].endswith("Did you mean 'accuracy'?")
    assert lines[2].startswith(f"{path}:{at['metric'] - 1}: evaluate.every: there are no validation records")
    assert lines[3].startswith(
        f"{path}:{at['where']}: stages.1.where: \"label = 'fruit'\" is not a condition"
    )
    assert lines[4].endswith(
        "stages.0.parts.lnguage: qwen2 has no such part (language). Did you mean 'language'?"
    )
    assert not (tmp_path / "runs").exists()


def test_a_metric_that_validation_records_cannot_give_is_refused_and_not_missed_while_training(
    tmp_path: Path,
) -> None:
    path = small_experiment(tmp_path, stages=[short()])
    write_rows(tmp_path / "mixed.jsonl", 30, seed=2)
    rows = [row for row in (tmp_path / "mixed.jsonl").read_text().splitlines() if '"tool"' in row]
    (tmp_path / "validation.jsonl").write_text("\n".join(rows))
    one_class = "data.split={holdout: 60, validation: {kind: jsonl, path: validation.jsonl}, stratify: label}"
    evaluate = "evaluate={every: 1 epoch, metric: roc_auc}"
    with pytest.raises(
        ExperimentError,
        match=rf"evaluate\.metric: 'roc_auc' cannot be had of the {len(rows)} validation records.*class 'tool'",
    ):
        check(steps_of(path, one_class, evaluate))
    check(steps_of(path, one_class, evaluate.replace("roc_auc", "log_loss")))


@pytest.mark.parametrize("side", ["train", "test", "validation"])
def test_control_tokens_in_the_rows_of_any_side_and_stage_are_told(tmp_path: Path, side: str) -> None:
    stages = [short(name="first", where="stage == 1"), short(name="second", where="stage == 2")]
    path = small_experiment(tmp_path, stages=stages, evaluate=QUICK | {"every": "1 epoch"})
    for name, seed in (("train", 1), ("test", 2), ("validation", 3)):
        write_rows(tmp_path / f"{name}.jsonl", 40, seed)
    lines = (tmp_path / f"{side}.jsonl").read_text().splitlines()
    for number in (3, 5):  # of the second stage
        lines[number] = lines[number].replace('"text": "', '"text": "<|im_end|> ')
    (tmp_path / f"{side}.jsonl").write_text("\n".join(lines))
    split = {name: f"{{kind: jsonl, path: {name}.jsonl}}" for name in ("test", "validation")}
    overrides = [
        "data.source.path=train.jsonl",
        f"data.split={{holdout: {split['test']}, validation: {split['validation']}}}",
        "evaluate.max_test_records=null",
        "evaluate.max_validation_records=40",
    ]
    steps = steps_of(path, *overrides)
    with pytest.raises(DataError) as error:
        check(steps)
    assert f"{side}.jsonl:4: " in str(error.value)
    assert "<|im_end|>" in str(error.value)
    assert not (tmp_path / "runs" / "small" / "main").exists()


def test_a_warmup_as_long_as_the_stage_is_told(path: Path) -> None:
    said: list[str] = []
    check(steps_of(path, "stages.0.optimizer.warmup=2", "name=warm", said=said))
    assert any("optimizer.warmup is 2 updates, but the stage has only 2" in text for text in said)
    said.clear()
    check(steps_of(path, "stages.0.optimizer.warmup=0.9", "name=warm", said=said))
    assert not any("warmup" in text for text in said)
