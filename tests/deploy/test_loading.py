from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.deploy.runs import STEP, classifies, trained_by
from tests.pipeline.small import small_experiment
from tests.tiny import tiny_model
from tunesmith import load_result
from tunesmith.config.read import read_experiment
from tunesmith.deploy.loading import find_result
from tunesmith.errors import ExperimentError, ModelError
from tunesmith.files import read_json, write_json
from tunesmith.pipeline.context import RunContext
from tunesmith.pipeline.evaluation import evaluation

ROWS = [{"text": "the old axe"}, {"text": "a fig"}]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return classifies(tmp_path_factory.mktemp("loading") / "project")


@pytest.fixture
def run(whole: Path, tmp_path: Path) -> Path:
    """A project of its own for a test to spoil: `tmp_path / "project"`."""
    project = tmp_path / "project"
    shutil.copytree(whole.parents[2], project)
    return project / whole.relative_to(whole.parents[2])


def test_a_run_its_stage_and_an_experiment_of_one_run_are_the_same_result(whole: Path) -> None:
    stage = whole / "stages" / "adapt"
    found = [find_result(folder) for folder in (whole, str(stage), whole.parent)]
    assert {(one.run, one.stage) for one in found} == {(whole, stage)}
    assert load_result(whole).folder == stage


def test_three_lines_of_python_answer_from_any_working_directory(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = load_result(whole)
    predictions = result.predict(ROWS)
    assert [one.id for one in predictions] == ["row 1", "row 2"]
    assert {one.reading for one in predictions} <= {"fruit", "tool"}
    assert all(sum((one.probabilities or {}).values()) == pytest.approx(1) for one in predictions)


def test_a_run_made_by_a_path_from_elsewhere_finds_its_model_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    path = small_experiment(Path("../project"), stages=[STEP], evaluate={}, output="out")
    run = trained_by(path).resolve()
    monkeypatch.chdir(tmp_path)
    assert Path(find_result(run).model.path).samefile(tmp_path / "project" / "model")


def test_a_project_that_was_moved_as_a_whole_still_answers(run: Path, tmp_path: Path, whole: Path) -> None:
    before = load_result(whole).predict(ROWS)
    write_json(run / "run.json", read_json(run / "run.json") | {"model": "/gone/model"})
    project = (tmp_path / "project").rename(tmp_path / "moved")
    assert load_result(project / "runs" / "small" / "main").predict(ROWS) == before


def test_a_run_that_was_copied_alone_finds_the_model_where_it_was(whole: Path, tmp_path: Path) -> None:
    alone = Path(shutil.copytree(whole, tmp_path / "a" / "b" / "alone"))
    assert find_result(alone).model.path == str(whole.parents[2] / "model")


def test_a_base_model_that_is_gone_is_named_and_may_be_given(run: Path, tmp_path: Path) -> None:
    gone = str((tmp_path / "project" / "model").rename(tmp_path / "elsewhere"))
    write_json(run / "run.json", read_json(run / "run.json") | {"model": "/gone/model"})
    with pytest.raises(ModelError) as caught:
        load_result(run)
    assert str(caught.value) == (
        f"model.path: the base model model of {run} is not there any more (it was /gone/model). Bring it back, or "
        "say where it is: --model PATH (model.path=PATH)"
    )
    assert load_result(run, [f"model.path={gone}"]).predict(ROWS)


def test_another_model_of_the_same_shape_is_refused(whole: Path, tmp_path: Path) -> None:
    other = tiny_model(tmp_path / "other", seed=1)
    with pytest.raises(ModelError) as caught:
        load_result(whole, [f"model.path={other}"])
    assert str(caught.value).startswith(
        f"model.path: {other} has the shape of the model that {whole / 'stages'}"
    )
    assert "but is another one (1 of 6 weights that were compared differ, such as model.embed" in str(
        caught.value
    )


def test_a_model_of_another_shape_is_refused_with_the_one_that_fits(whole: Path, tmp_path: Path) -> None:
    other = tiny_model(tmp_path / "other", hidden_size=32)
    with pytest.raises(ModelError) as caught:
        load_result(whole, [f"model.path={other}"])
    assert "this adapter does not fit the model" in str(caught.value)
    assert str(caught.value).endswith(f"\nIt was trained on {whole.parents[2] / 'model'}")


def test_what_is_no_run_says_what_would_be_one(whole: Path, tmp_path: Path) -> None:
    for name in ("low", "high"):
        shutil.copytree(whole, tmp_path / "runs" / name)
    for folder, what in [
        (tmp_path / "runs", "it holds the runs high, low: give one of them"),
        (whole.parents[2], "there is no run.json in it; give runs/EXPERIMENT/VARIANT"),
        (tmp_path / "nothing", "there is no such folder; give a run folder"),
    ]:
        with pytest.raises(ExperimentError, match=what):
            find_result(folder)


def test_a_stage_that_is_not_over_is_told_with_those_that_are(run: Path) -> None:
    stage = run / "stages" / "adapt"
    shutil.copytree(stage, stage.with_name("first"))
    (stage / "done.json").unlink()
    with pytest.raises(ExperimentError) as caught:
        find_result(run)
    assert str(caught.value) == (
        f"{stage}: stage 'adapt' is not trained to its end. Call `tunesmith run` or `tunesmith train` with the same "
        "experiment and variant again, or name the folder of a stage that is (first)"
    )
    assert find_result(stage.with_name("first")).stage.name == "first"


def test_a_stage_whose_weights_were_deleted_does_not_answer_as_the_base_would(run: Path) -> None:
    shutil.rmtree(run / "stages" / "adapt" / "adapter")
    with pytest.raises(ModelError, match="adapt: holds no weights"):
        find_result(run)


def test_a_question_that_changed_after_training_is_refused(run: Path) -> None:
    text = (run / "experiment.yaml").read_text()
    (run / "experiment.yaml").write_text(text.replace("Which? {text}", "What? {text}"))
    with pytest.raises(
        ExperimentError, match=r"experiment.yaml: task.prompt changed after stage 'adapt' was trained"
    ):
        find_result(run)
    assert (
        find_result(run, ["task.prompt='What? {text}'"]).experiment.task.model_dump()["prompt"]
        == "What? {text}"
    )


def test_a_limit_of_length_is_for_models_that_write(whole: Path) -> None:
    with pytest.raises(ExperimentError, match="--max-new-tokens: engine 'score' writes no answers"):
        find_result(whole).load(max_new_tokens=5)
    written = find_result(whole, ["evaluate.engine=generate"]).load(max_new_tokens=5)
    assert written.engine.model_dump()["max_new_tokens"] == 5


def test_solved_examples_stand_before_the_question_as_in_training(tmp_path: Path) -> None:
    task = {"kind": "classify", "labels": ["fruit", "tool"], "prompt": "Which? {text}", "num_shots": 2}
    run = classifies(tmp_path / "shots", task=task)
    result = load_result(run)
    assert [turn.role for shot in result.shots for turn in shot.turns] == ["user", "user"]
    assert result.predict(ROWS)
    (data,) = run.parent.glob("data-*")
    data.rename(tmp_path / "away")
    with pytest.raises(
        ExperimentError, match=r"task.num_shots: 2 solved examples are shown before every question, but"
    ):
        load_result(run)


@pytest.mark.parametrize("lost", [("head.json",), ("head.safetensors",), ("head.json", "head.safetensors")])
def test_a_head_that_is_lost_is_told_and_nothing_else_answers_for_it(
    tmp_path: Path, lost: tuple[str, ...]
) -> None:
    task = {"kind": "classify", "labels": ["fruit", "tool"], "prompt": "{text}", "answer": {"kind": "head"}}
    parts = {**STEP["parts"], "head": "full"}
    run = classifies(tmp_path / "project", task=task, stages=[STEP | {"parts": parts}])
    for name in lost:
        (run / "stages" / "adapt" / name).unlink()
    with pytest.raises(ModelError, match=r"adapt/head\.(json|safetensors): .*Bring the file back"):
        load_result(run)
    steps = RunContext(
        read_experiment(tmp_path / "project" / "small.yaml"), tmp_path / "project", say=lambda _: None
    )
    with pytest.raises(ModelError, match=r"adapt/head\.(json|safetensors): .*Bring the file back"):
        evaluation(steps, run / "stages" / "adapt", "a key")
