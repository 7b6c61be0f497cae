from __future__ import annotations

import shutil

from tests.report.run_folder_maker import add_predictions
from tunesmith.report.compare import compare_folders


def test_two_bases_are_named_after_their_runs(experiment, tmp_path):
    shutil.copytree(experiment, tmp_path / "b")
    shutil.move(tmp_path / "b" / "base-2a", tmp_path / "b" / "base-9c")
    run = tmp_path / "b" / "full" / "run.json"
    run.write_text(run.read_text().replace("base-2a", "base-9c"))
    compared = compare_folders([experiment / "lora", tmp_path / "b" / "full"], tmp_path)
    assert [entry.name for entry in compared.entries] == ["base of lora", "base of full", "lora", "full"]


def test_runs_of_the_same_name_are_told_apart_by_folder(experiment, tmp_path):
    other = shutil.copytree(experiment, tmp_path / "b") / "lora"
    compared = compare_folders([experiment / "lora", other], tmp_path)
    assert [entry.name for entry in compared.entries][-2:] == [str(experiment / "lora"), str(other)]


def test_predictions_named_as_a_run_or_in_two_experiments_keep_names_of_their_own(experiment, tmp_path):
    experiment, other = (shutil.copytree(experiment, tmp_path / name) for name in ("a", "b"))
    add_predictions(experiment / "lora", "full", 0)
    add_predictions(other / "full", "CLIP", 10)
    add_predictions(experiment / "full", "CLIP", 0)
    compared = compare_folders([experiment / "lora", experiment / "full", other / "full"], tmp_path)
    names = [entry.name for entry in compared.entries]
    assert len(set(names)) == len(names)
    assert f"CLIP ({experiment.name}/predictions-CLIP-5e)" in names
