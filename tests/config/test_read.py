"""An experiment file is read as it is meant, or every fault in it is named."""

from __future__ import annotations

import copy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.config.recipe import RECIPE, write
from tests.house.rules import HEAVY, SLOW
from tunesmith.config.document import parse_yaml
from tunesmith.config.read import dump_experiment, experiment_from, read_experiment, read_variants
from tunesmith.config.settings import Duration
from tunesmith.errors import ExperimentError


def fault(path: Path, *overrides: str, variant: str | None = None) -> str:
    with pytest.raises(ExperimentError) as error:
        read_experiment(path, overrides, variant)
    return str(error.value).replace(str(path), "recipe.yaml")


def test_the_designs_recipe_is_read_as_it_is_meant(tmp_path: Path) -> None:
    experiment = read_experiment(write(tmp_path))
    stage = experiment.stages[0]
    assert (experiment.name, experiment.model.weights, stage.optimizer.learning_rate) == (
        "ag-news",
        "bf16",
        2e-4,
    )
    assert (experiment.data.split.by, experiment.data.split.holdout) == (["text"], 7600)
    assert (stage.parts["language"].kind, stage.start, stage.length) == (
        "lora",
        "previous",
        Duration(1.0, "epochs"),
    )
    assert experiment.evaluate.every == Duration(200.0, "steps")
    assert list(experiment.variants) == ["full", "lora", "qlora"]


def test_a_variant_replaces_a_method_as_a_whole(tmp_path: Path) -> None:
    full = read_experiment(write(tmp_path), variant="full")
    assert full.stages[0].parts["language"].kind == "full"
    assert full.stages[0].optimizer.learning_rate == 2e-4
    assert full.variants == {}


def test_the_command_line_has_the_last_word_over_a_variant(tmp_path: Path) -> None:
    path = write(tmp_path)
    assert read_experiment(path, variant="qlora").model.weights == "nf4"
    changed = read_experiment(path, ["model.weights=int8", "stages.0.optimizer.learning_rate=1e-4"], "qlora")
    assert (changed.model.weights, changed.stages[0].optimizer.learning_rate) == ("int8", 1e-4)


def test_every_variant_can_be_had_at_once(tmp_path: Path) -> None:
    path = write(tmp_path)
    variants = read_variants(path, ["seed=3"])
    assert variants == {name: read_experiment(path, ["seed=3"], name) for name in ("full", "lora", "qlora")}
    assert {experiment.seed for experiment in variants.values()} == {3}
    plain = write(tmp_path, text=RECIPE[: RECIPE.index("variants:")])
    assert list(read_variants(plain)) == ["main"]


@pytest.mark.parametrize("variant", [None, "full", "lora", "qlora"])
def test_what_is_dumped_reads_back_equal(tmp_path: Path, variant: str | None) -> None:
    experiment = read_experiment(write(tmp_path), variant=variant)
    dumped = tmp_path / "dumped.yaml"
    dumped.write_text(dump_experiment(experiment), encoding="utf-8")
    assert read_experiment(dumped) == experiment


@pytest.mark.parametrize(
    "text",
    ["no", "2e-4", "null", "~", "1", "true", "2024-01-01", " edge ", "a: b", "# x", "- x", "'", '"', "&a",
     "*a", "!t", "line\nline\n\n  indented\n", "tab\there", "\u00e9\u4e2d\U0001f600", "\u05e9\u05dc\u05d5",
     "\x07bell", "\u2028", "\x85", "\ufeff", "%", "@", "`", "{text}", "[x]", "x" * 500, "0o17", "0x1F",
     "1_000", ".inf", "<<", ""],
)  # fmt: skip
def test_any_text_survives_dumping_and_reading(tmp_path: Path, text: str) -> None:
    mapping = parse_yaml(write(tmp_path).read_text(encoding="utf-8"), "recipe").value
    mapping["task"] |= {"system": text, "prompt": "{text}"}
    experiment = experiment_from(mapping)
    dumped = tmp_path / "dumped.yaml"
    dumped.write_text(dump_experiment(experiment), encoding="utf-8")
    assert read_experiment(dumped).task.system == text


def test_all_faults_are_named_at_once_with_file_and_line(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        ("model: {path", "modle: {path"),
        ("kind: hub", "kind: hbu"),
        ("kind: classify", "kind: clasify"),
        ("rank: 16", "rnk: 16"),
        ("schedule: cosine", "schedule: cosin"),
        ("200 steps", "200"),
        ("model.weights: nf4", "model.weights: fp4"),
    )
    told = fault(path)
    assert told.startswith("recipe.yaml has ")
    for line in (
        "recipe.yaml:1: model: is missing. The base model.",
        "recipe.yaml:2: modle: no such setting; possible: name, seed, model,",
        "recipe.yaml:4: data.source.kind: got 'hbu'; possible: csv,",
        "recipe.yaml:7: task.kind: got 'clasify'; possible: ",
        "recipe.yaml:13: stages.0.parts.language.rnk: no such setting of kind 'lora'; possible: kind,",
        "recipe.yaml:16: stages.0.optimizer.schedule: got 'cosin'; possible: constant, linear, cosine. "
        "Did you mean 'cosine'?",
        "recipe.yaml:17: evaluate.every: got 200; must be a number with its unit, such as '200 steps'",
        "recipe.yaml:21: variants.qlora: model.weights: got 'fp4'; possible: bf16, fp32, fp8, int8, nf4, nf4-fp8.",
    ):
        assert line in told
    for hint in ("'model'", "'hub'", "'classify'", "'rank'", "'nf4'"):
        assert f"Did you mean {hint}?" in told


def test_a_variants_fault_is_named_also_when_another_is_run(tmp_path: Path) -> None:
    path = write(tmp_path, ("kind: full", "kind: full, rank: 3"))
    told = "recipe.yaml:19: variants.full: stages.0.parts.language.rank: no such setting of kind 'full'"
    assert fault(path).startswith(told)
    assert fault(path, variant="qlora").startswith(told)


def test_a_fault_of_the_file_is_not_repeated_for_each_variant(tmp_path: Path) -> None:
    told = fault(write(tmp_path, ("cosine", "cosin")), variant="qlora")
    assert told.count("cosin'; possible") == 1
    assert "\n" not in told


def test_a_variant_may_supply_what_the_file_lacks(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        ("model: {path: Qwen/Qwen2.5-7B-Instruct}\n", ""),
        ("lora:  {}", "lora: {model.path: a}"),
        ("{model.weights: nf4}", "{model: {path: b}}"),
        ("kind: full}}", "kind: full}, model.path: c}"),
    )
    assert read_experiment(path, variant="lora").model.path == "a"
    assert {name: one.model.path for name, one in read_variants(path).items()} == {
        "full": "c",
        "lora": "a",
        "qlora": "b",
    }
    assert fault(path) == "recipe.yaml:1: model: is missing. The base model."


def test_an_unknown_variant_is_told_which_there_are(tmp_path: Path) -> None:
    told = fault(write(tmp_path), variant="qlroa")
    assert told == "recipe.yaml: has no variant 'qlroa' (possible: full, lora, qlora). Did you mean 'qlora'?"


def test_a_fault_of_an_override_names_the_override(tmp_path: Path) -> None:
    path = write(tmp_path)
    told = fault(path, "modle.weights=nf4", "model.weights=nf5", "seed", "stages.1.epochs=2")
    assert "override 'modle.weights=nf4': modle: no such setting" in told
    assert (
        "override 'model.weights=nf5': model.weights: got 'nf5'; possible: bf16, fp32, fp8, int8, nf4, nf4-fp8"
        in told
    )
    assert "override 'seed': must be a dotted key and its value" in told
    assert "override 'stages.1.epochs=2': stages.1.epochs: stages is a list and has no '1'" in told
    assert told.count("\n") == 4


def test_quantised_weights_that_are_to_be_trained_are_refused_with_the_way_out(tmp_path: Path) -> None:
    told = fault(write(tmp_path), "model.weights=nf4", variant="full")
    assert told == (
        "recipe.yaml:19: stages.0.parts.language: kind 'full' trains the model's own weights, but"
        " model.weights is 'nf4' and quantised weights cannot be trained;"
        " use kind 'lora', or model.weights 'bf16' or 'fp32'"
    )


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "is empty; an experiment needs name, model, data, task and stages"),
        (b"# only a comment\n", "is empty"),
        (b"- a\n- b\n", ":1: holds a list; an experiment is a mapping"),
        (b"just words", ":1: holds the text 'just words'"),
        (b"name: a\nmodel: \xff\n", ":2: is not UTF-8 text; save the file as UTF-8"),
        (b"name: a\n\tmodel: b\n", ":2: not YAML: a tab stands where YAML wants spaces"),
        (b"name: a\ntask: b: c\n", ":2: not YAML: mapping values are not allowed"),
        (b"name: a\nname: b\n", ":2: key 'name' stands twice, first at"),
        (b"a: &x {b: 1}\nc: *x\n", ":1: anchors (&) and aliases (*) are not read; write the value out"),
    ],
)
def test_a_file_that_is_no_experiment_is_told_so(tmp_path: Path, content: bytes, told: str) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_bytes(content)
    assert told in fault(path)


def test_a_missing_file_names_the_one_that_was_meant(tmp_path: Path) -> None:
    write(tmp_path)
    assert fault(tmp_path / "recpie.yaml").endswith("there is no such file. Did you mean 'recipe.yaml'?")
    assert "is a folder; name an experiment file (YAML files in it: recipe.yaml)" in fault(tmp_path)


def test_a_file_with_a_byte_order_mark_and_crlf_is_read(tmp_path: Path) -> None:
    path = write(tmp_path)
    plain = read_experiment(path)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    assert read_experiment(path) == plain


def test_python_users_get_the_same_from_plain_values(tmp_path: Path) -> None:
    path = write(tmp_path)
    mapping: dict[str, Any] = parse_yaml(path.read_text(encoding="utf-8"), "recipe").value
    before = copy.deepcopy(mapping)
    assert experiment_from(mapping, ["seed=4"], "qlora") == read_experiment(path, ["seed=4"], "qlora")
    assert mapping == before
    with pytest.raises(ExperimentError, match=r"^seed: got 'x'; must be a valid integer$"):
        experiment_from(mapping | {"seed": "x"})


def test_a_faulty_file_is_refused_on_the_command_line_without_loading_what_is_heavy(tmp_path: Path) -> None:
    path = write(tmp_path, ("kind: classify", "kind: clasify"))
    heavy = HEAVY | SLOW | {"rich.console", "tunesmith.records.demo_sources.movielens"}
    code = (
        "import sys\nfrom tunesmith.cli.main import main\n"
        f"sys.argv = ['tunesmith', 'run', {str(path)!r}]\n"
        "try:\n    main()\n"
        "except SystemExit as end:\n"
        f"    print(end.code, sorted({heavy} & set(sys.modules)))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "2 []"
    assert ended.stderr.startswith(f"error: {path}:7: task.kind: got 'clasify'")
    assert "Traceback" not in ended.stderr


def test_what_only_follows_from_a_fault_of_the_file_is_not_told(tmp_path: Path) -> None:
    told = fault(write(tmp_path), "stages=[]")
    assert told == "override 'stages=[]': stages: got a list of 0; must have at least 1 item"
    mapping = parse_yaml(write(tmp_path).read_text(encoding="utf-8"), "recipe").value
    with pytest.raises(ExperimentError) as error:
        experiment_from(mapping | {"stages": {"name": "a"}})
    assert str(error.value) == "stages: got a mapping (name); must be a list"
