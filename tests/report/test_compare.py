from __future__ import annotations

import json
import shutil

import pytest

from tests.report.chromium import content_width, needs_chromium
from tests.report.run_folder_maker import add_predictions, make_experiment, make_pictured
from tests.report.test_page import Page
from tunesmith.errors import DataError
from tunesmith.report.compare import compare_folders, comparison_as_json, write_comparison
from tunesmith.report.page import write_report


def test_runs_stand_beside_their_base_with_cost_and_verdict(experiment, tmp_path):
    page = Page(write_comparison([experiment / "lora", experiment / "full"], tmp_path / "all.html"))
    assert (
        "Of 2 runs on 400 held-out records, none is clearly the best by accuracy: full has 79.8"
        in page.text()
    )
    assert "with no clear difference from lora. full is clearly better than the base." in page.text()
    for words in (
        "base",
        "lora",
        "full",
        "Trained weights",
        "Saved",
        "Peak memory",
        "Training time",
        "F1 by class",
    ):
        assert words in page.text()
    assert len([text for tag, text in page.texts if text == "better"]) >= 2


def test_a_page_beside_the_runs_links_to_theirs(experiment):
    write_report(experiment / "lora")
    compared = compare_folders([experiment / "lora"], experiment)
    assert [entry.page for entry in compared.entries] == [None, "lora/report.html"]


def test_an_experiments_folder_stands_for_all_its_runs(experiment):
    compared = compare_folders([experiment], experiment)
    assert [entry.name for entry in compared.entries] == ["base", "full", "lora"]


def test_one_base_that_two_runs_share_has_one_line(experiment):
    compared = compare_folders([experiment / "lora", experiment / "full"], experiment)
    assert [entry.name for entry in compared.entries] == ["base", "lora", "full"]


def test_runs_that_are_not_evaluated_cannot_be_compared(run):
    shutil.rmtree(run / "evaluation")
    with pytest.raises(DataError, match="none of these runs is evaluated yet; `tunesmith run` finishes them"):
        compare_folders([run], run)


def test_an_unfinished_run_stands_in_the_table_and_is_said_to_be_unfinished(run):
    shutil.rmtree(run / "evaluation")
    compared = compare_folders([run, run.parent / "full"], run)
    assert compared.entries[1].measures == {}
    assert "lora: The tuned model is not evaluated yet (evaluation/scores.json)." in compared.notices


def test_runs_on_other_records_are_shown_but_not_paired(experiment, tmp_path):
    other = shutil.copytree(experiment, tmp_path / "b") / "full"
    rows = other / "evaluation" / "rows.jsonl"
    rows.write_text(rows.read_text().replace('news.jsonl:7"', 'news.jsonl:7000"'))
    compared = compare_folders([experiment / "lora", other], tmp_path)
    assert compared.pairs == ()
    assert (
        "lora and full cannot be paired: the two evaluations are not on the same records"
        in compared.notices[0]
    )
    page = Page(write_comparison([experiment / "lora", other], tmp_path / "all.html"))
    assert "cannot be paired" in page.text("li")
    assert "Of 2 runs that cannot all be paired, full has the best accuracy" in page.text("h1")


def test_a_program_reads_the_comparison_as_json(experiment):
    compared = json.loads(
        comparison_as_json(compare_folders([experiment / "lora", experiment / "full"], experiment))
    )
    assert compared["primary"] == "accuracy"
    assert compared["entries"][2]["measures"]["accuracy"]["value"] > 0.7
    assert compared["entries"][2]["change"]["verdict"] == "better"


def test_predictions_from_elsewhere_are_a_row_a_pair_and_a_part_of_the_headline(experiment, tmp_path):
    experiment = shutil.copytree(experiment, tmp_path / "copy")
    for run in ("lora", "full"):
        add_predictions(experiment / run, "CLIP", 0)
    compared = compare_folders([experiment], tmp_path)
    assert [(entry.name, entry.kind) for entry in compared.entries] == [
        ("base", "base"),
        ("CLIP", "predictions"),
        ("full", "run"),
        ("lora", "run"),
    ]
    pairs = {(pair.first, pair.second): pair.change.verdict for pair in compared.pairs}
    assert pairs == {
        ("CLIP", "full"): "better",
        ("CLIP", "lora"): "better",
        ("full", "lora"): "no clear change",
    }
    assert "full is clearly better than the base and CLIP." in compared.headline
    values = json.loads(comparison_as_json(compared))
    assert values["best"]["against"] == {"base": "better", "CLIP": "better"}
    assert values["entries"][1]["measures"]["accuracy"]["value"] < 0.3
    page = Page(write_comparison([experiment], tmp_path / "all.html")).text()
    assert "CLIP predictions from elsewhere" in " ".join(page.split())


@pytest.mark.slow
@needs_chromium
def test_a_phone_need_not_scroll_sideways(tmp_path):
    folders = make_experiment(tmp_path, [f"a-long-variant-name-{number}" for number in range(3)], records=60)
    assert content_width(write_comparison(folders, tmp_path / "report.html"), tmp_path, 400) == 400


def test_runs_stand_side_by_side_in_each_group(tmp_path):
    run = make_pictured(tmp_path)
    again = shutil.copytree(run, tmp_path / "again")
    (again / "run.json").write_text((run / "run.json").read_text().replace('"main"', '"again"'))
    compared = compare_folders([run, again], tmp_path)
    assert list(compared.groups) == ["answer type", "stage"]
    base, first, second = compared.groups["stage"]["2"]
    assert (base.value, first.value) == pytest.approx((0.6, 1 / 6))
    assert second == first
    page = write_comparison([run, again], tmp_path / "report.html").read_text()
    assert "Accuracy by stage" in page
    entries = json.loads(comparison_as_json(compared))["entries"]
    assert entries[1]["groups"]["stage"]["2"]["value"] == first.value
