from __future__ import annotations

import json
import shutil

import pytest

from tunesmith.errors import DataError
from tunesmith.report.run_folder import read_run_folder


def test_a_finished_run_misses_nothing(run):
    found = read_run_folder(run)
    assert found.missing == ()
    assert [stage.name for stage in found.stages] == ["adapt", "polish"]
    assert len(found.stages[0].updates) == 200
    assert found.stages[0].done.best_step == 180
    assert len(list(found.tuned.rows)) == found.tuned.scores.records == 400


def test_the_only_variant_is_named_by_its_experiment(run):
    assert read_run_folder(run).name == "ag-news/lora"
    (run / "run.json").write_text('{"experiment": "ag-news", "variant": "main"}')
    assert read_run_folder(run).name == "ag-news"


def test_what_is_not_there_yet_is_named(run):
    shutil.rmtree(run / "evaluation")
    (run / "stages" / "polish" / "done.json").unlink()
    assert read_run_folder(run).missing == (
        "Stage polish is not over; it reached update 60 of 60.",
        "The tuned model is not evaluated yet (evaluation/scores.json).",
    )


def test_a_run_that_only_began_is_read(run):
    for name in ("stages", "evaluation", "../base-2a", "../data-1f"):
        shutil.rmtree(run / name)
    for name in ("experiment.yaml", "environment.json", "audit.json", "log.jsonl", "lineage.json"):
        (run / name).unlink()
    assert len(read_run_folder(run).missing) == 5


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("run.json", "{", "run.json: Invalid JSON"),
        ("evaluation/scores.json", '{"evaluation": "tuned"}', "scores.json: records: Field required"),
        ("evaluation/comparison.json", "[]", "comparison.json: Input should be"),
        ("experiment.yaml", "a: [1", "experiment.yaml: not YAML"),
        ("log.jsonl", '{"event": "update", "stage": "a"}\n', "log.jsonl:1: step: Field required"),
        ("log.jsonl", '{"event": "note"}\n{oops\n', "log.jsonl:2: Invalid JSON"),
    ],
)
def test_a_broken_file_is_named_with_what_is_wrong(run, name, content, says):
    (run / name).write_text(content)
    with pytest.raises(DataError) as error:
        read_run_folder(run)
    assert says in str(error.value)
    assert str(run) in str(error.value)


def test_a_broken_row_is_named_by_its_line(run):
    rows = run / "evaluation" / "rows.jsonl"
    rows.write_text(rows.read_text().replace('"label": ', '"label": "x', 1))
    with pytest.raises(DataError, match=r"rows.jsonl:1: .*delete the folder"):
        list(read_run_folder(run).tuned.rows)


def test_another_folder_is_refused_with_the_runs_inside_it(run, tmp_path):
    with pytest.raises(
        DataError, match=r"not a run folder, there is no run\.json in it; it holds the runs full, lora"
    ):
        read_run_folder(run.parent)
    with pytest.raises(DataError, match="give runs/EXPERIMENT/VARIANT"):
        read_run_folder(tmp_path / "nowhere")


def test_a_line_that_is_being_written_is_left_for_later(run):
    with (run / "log.jsonl").open("a") as log:
        log.write('{"event": "update", "sta')
    assert len(read_run_folder(run).stages[-1].updates) == 60


def test_updates_that_a_resumed_stage_did_again_count_once(run):
    log = run / "log.jsonl"
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    polish = [line for line in lines if line["stage"] == "polish"]
    again = [{**polish[0], "step": 50}, *(line for line in polish[1:] if line["step"] > 50)]
    log.write_text("".join(json.dumps(line) + "\n" for line in [*lines, *again]))
    steps = [update.step for update in read_run_folder(run).stages[1].updates]
    assert steps == list(range(1, 61))
