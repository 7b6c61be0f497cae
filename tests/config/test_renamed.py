from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.config.recipe import RECIPE, write
from tunesmith.config.document import parse_yaml
from tunesmith.config.overrides import Override, apply_override
from tunesmith.config.read import dump_experiment, experiment_from, read_experiment, read_run_experiment
from tunesmith.config.renamed import RENAMED, with_former_names, with_new_names
from tunesmith.errors import ExperimentError

OLD = [path.replace("*", "0") for path in RENAMED]


@pytest.mark.parametrize("path", OLD)
def test_an_old_name_is_answered_with_the_new_one(path: str, tmp_path: Path) -> None:
    new = RENAMED[path.replace(".0", ".*")]
    message = f"{path}: is called {new!r} now; write {new} instead"
    with pytest.raises(ExperimentError) as error:
        read_experiment(write(tmp_path), [f"{path}=3"])
    assert message in str(error.value)
    with pytest.raises(ExperimentError) as error:
        read_experiment(write(tmp_path, ("lora:  {}", f"lora: {{{path}: 3}}")), variant="lora")
    assert message in str(error.value)
    document = apply_override(parse_yaml(RECIPE, "recipe.yaml"), Override(path, 3, "recipe.yaml:7"))
    with pytest.raises(ExperimentError, match=r"\A[^\n]*\Z") as error:
        experiment_from(document.value | {"variants": {}})
    assert message in str(error.value)


def test_the_experiment_of_an_earlier_run_is_read_with_its_old_names(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    experiment = read_experiment(write(tmp_path), ["stages.0.group_by=id", "task.num_shots=2"], "lora")
    written = parse_yaml(dump_experiment(experiment), "experiment.yaml").value
    old = tmp_path / "run" / "experiment.yaml"
    old.write_text(json.dumps(with_former_names(written)))
    assert "together" in old.read_text()
    assert "group_by" not in old.read_text()
    assert read_run_experiment(old) == experiment
    changed = read_run_experiment(old, ["stages.0.group_by=other"])
    assert changed.stages[0].group_by == "other"
    with pytest.raises(ExperimentError, match="is called 'group_by' now"):
        read_run_experiment(old, ["stages.0.together=other"])


def test_old_names_in_variants_of_an_earlier_run_are_replaced_too() -> None:
    variants = {
        "a": {"stages.0.together": "id", "stages.0.optimizer": {"clip": None}, "stages": [{"trained": "all"}]}
    }
    assert with_new_names({"variants": variants})["variants"]["a"] == {
        "stages.0.group_by": "id",
        "stages.0.optimizer": {"max_grad_norm": None},
        "stages": [{"loss_on": "all"}],
    }


def test_a_name_that_is_given_twice_is_not_lost() -> None:
    both = {"stages": [{"together": "a", "group_by": "b"}]}
    assert with_new_names(both) == both


def test_keys_of_runs_are_made_of_the_names_that_settings_had_first(tmp_path: Path) -> None:
    experiment = read_experiment(write(tmp_path), variant="lora")
    stage = with_former_names(experiment.stages[0].model_dump(mode="json"), "stages.0")
    assert {"together", "trained"} <= stage.keys()
    assert set(stage["batch"]) == {"examples", "tokens_per_device", "share_beginnings", "workers"}
    assert "clip" in stage["optimizer"]
    assert "shots" in with_former_names(experiment.task.model_dump(mode="json"), "task")
