import json
from pathlib import Path

import pytest
from peft import PeftModel
from transformers import AutoModelForCausalLM

from tests.pipeline.small import lora_stage, small_experiment
from tunesmith import load_experiment, run
from tunesmith.errors import DataError, ModelError
from tunesmith.files import SUMS, read_json

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = small_experiment(tmp_path_factory.mktemp("small"))
    return run(load_experiment(path), path.parent)


def test_a_file_and_a_call_give_a_better_model_and_a_page_of_evidence(finished: Path) -> None:
    base = read_json(finished / read_json(finished / "run.json")["base"] / "scores.json")
    tuned = read_json(finished / "evaluation" / "scores.json")
    assert tuned["records"] == base["records"] == 60
    assert tuned["metrics"]["accuracy"]["low"] > base["metrics"]["accuracy"]["high"]
    comparison = read_json(finished / "evaluation" / "comparison.json")
    assert comparison["metrics"]["accuracy"]["verdict"] == "better"
    assert "Accuracy" in (finished / "report.html").read_text()


def test_the_log_holds_every_update_with_loss_rate_and_speed(finished: Path) -> None:
    events = [json.loads(line) for line in (finished / "log.jsonl").read_text().splitlines()]
    updates = [event for event in events if event["event"] == "update"]
    assert [update["step"] for update in updates] == list(range(1, len(updates) + 1))
    assert updates[-1]["loss"] < updates[0]["loss"]
    assert all(
        update["tokens"] > update["trained_tokens"] > 0 and update["seconds"] > 0 for update in updates
    )
    assert [event["step"] for event in events if event["event"] == "evaluation"] == [
        step for step in range(1, len(updates) + 1) if step % 10 == 0 or step == len(updates)
    ]


def test_a_fully_trained_model_is_a_folder_that_transformers_loads(finished: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(finished / "stages" / "adapt" / "model")
    assert sum(weight.numel() for weight in model.parameters()) > 0


def test_a_finished_run_is_not_done_again(finished: Path) -> None:
    files = {path: path.stat().st_mtime_ns for path in finished.rglob("*") if path.is_file()}
    kept = [path for path in files if path.suffix in {".jsonl", ".safetensors"}]
    experiment = load_experiment(finished / "experiment.yaml")
    run(experiment, finished.parents[2])
    assert [path for path in kept if path.stat().st_mtime_ns != files[path]] == []


# PEFT asks a model of transformers 5.23 in a way that transformers 5.17 still needs.
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
def test_a_second_stage_goes_on_from_the_adapter_of_the_first(tmp_path: Path) -> None:
    stages = [
        lora_stage(name="first", where="stage == 1", epochs=1),
        lora_stage(name="second", where="stage == 2", epochs=1),
    ]
    path = small_experiment(tmp_path, stages=stages, evaluate={"num_resamples": 200})
    folder = run(load_experiment(path), path.parent)
    lineage = read_json(folder / "lineage.json")
    assert [entry["started_from"] for entry in lineage] == ["base", "first"]
    assert lineage[1]["started_from_key"] == lineage[0]["key"]
    base = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    model = PeftModel.from_pretrained(base, folder / "stages" / "second" / "adapter")
    assert model.peft_config["default"].to_dict()["r"] == 8
    first = read_json(folder / "stages" / "first" / "done.json")
    second = read_json(folder / "stages" / "second" / "done.json")
    assert first["sha256"] != second["sha256"]


def test_a_part_that_the_model_does_not_have_is_named_with_what_it_has(tmp_path: Path) -> None:
    path = small_experiment(tmp_path, stages=[lora_stage(parts={"languge": {"kind": "lora"}})])
    with pytest.raises(ModelError, match=r"languge.*Did you mean 'language'"):
        run(load_experiment(path), path.parent)


def test_a_record_of_the_test_side_that_changes_after_the_split_stops_training(tmp_path: Path) -> None:
    path = small_experiment(
        tmp_path, stages=[lora_stage(steps=1, epochs=None)], evaluate={"num_resamples": 200}
    )
    folder = run(load_experiment(path), path.parent)
    manifest = folder / read_json(folder / "run.json")["data"] / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"checksum": "', '"checksum": "0'))
    with pytest.raises(DataError, match=r"manifest\.json: was changed .* Delete the folder"):
        run(load_experiment(path), path.parent)
    (manifest.parent / SUMS).unlink()
    with pytest.raises(DataError, match="checksum"):
        run(load_experiment(path), path.parent)


def test_an_example_over_the_limit_is_refused_by_name_or_left_out_and_counted(tmp_path: Path) -> None:
    stages = [lora_stage(steps=1, epochs=None)]
    path = small_experiment(tmp_path, stages=stages, evaluate={"num_resamples": 200})
    with pytest.raises(DataError, match=r"rows\.jsonl:\d+: \d+ tokens"):
        run(load_experiment(path, ["data.length.max_tokens=32"]), path.parent)
    folder = run(
        load_experiment(path, ["data.length.max_tokens=32", "data.length.over=drop"]), path.parent, "cut"
    )
    assert "left out: over the length limit" in (folder / "log.jsonl").read_text()
