from __future__ import annotations

from pathlib import Path

import pytest

from tests.pipeline.small import QUICK, lora_stage, small_experiment, steps_of


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    variants = {"one": {"stages.0.epochs": 1}, "two": {"stages.0.epochs": 2}}
    folder = tmp_path_factory.mktemp("steps")
    return small_experiment(folder, stages=[lora_stage()], evaluate=QUICK, variants=variants)


def test_records_are_prepared_once_and_every_variant_finds_them(path: Path) -> None:
    one, two = (steps_of(path, variant=name).prepared for name in ("one", "two"))
    assert one.folder == two.folder
    assert [record.id for record in one.records("test")] == [record.id for record in two.records("test")]
    assert one.certificate.made == two.certificate.made


def test_base_and_tuned_model_are_compared_on_no_more_records_than_asked(path: Path) -> None:
    test = [record.id for record in steps_of(path).prepared.records("test")]
    some = [record.id for record in steps_of(path).test_records]
    assert len(some) == 8
    assert some == [record for record in test if record in some]
    assert len(steps_of(path, "evaluate.max_test_records=null").test_records) == len(test) == 60


def test_a_model_is_found_beside_the_experiment_file_and_else_left_to_the_hub(path: Path) -> None:
    assert steps_of(path).model.path == str(path.parent / "model")
    assert steps_of(path, "model.path=Qwen/Qwen3-0.6B").model.path == "Qwen/Qwen3-0.6B"
