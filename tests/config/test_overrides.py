"""Dotted keys change what they name and nothing else."""

from __future__ import annotations

import pytest

from tunesmith.config.document import Document
from tunesmith.config.overrides import Override, apply_override, parse_override
from tunesmith.errors import ExperimentError

TREE = {"model": {"path": "a"}, "task": "classify", "stages": [{"name": "one", "epochs": 1}, {"name": "two"}]}


def changed(key: str, value: object) -> object:
    return apply_override(Document(TREE), Override(key, value, "test")).value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a=2e-4", 2e-4),
        ("a=no", "no"),
        ("a=[1, x]", [1, "x"]),
        ("a={kind: full}", {"kind": "full"}),
        ("a=", None),
        ("a='x: y'", "x: y"),
        ("a=b=c", "b=c"),
        ("a=200 steps", "200 steps"),
        ("a={text}", {"text": None}),
    ],
)
def test_a_value_on_the_command_line_is_read_as_in_the_file(text: str, value: object) -> None:
    assert parse_override(text) == Override("a", value, f"override {text!r}")


@pytest.mark.parametrize("text", ["", "=1", "seed", "a..b=1", ".a=1", "--seed"])
def test_what_is_no_override_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(
        ExperimentError, match=r"must be a dotted key and its value, such as model\.weights=nf4"
    ):
        parse_override(text)


def test_a_value_that_is_no_yaml_is_told_to_be_quoted() -> None:
    with pytest.raises(ExperimentError, match="Put a text with special characters in quotes"):
        parse_override("task.prompt=Question: {a}: b")


def test_an_override_changes_one_leaf_and_not_the_original() -> None:
    assert changed("stages.1.name", "three") == {**TREE, "stages": [TREE["stages"][0], {"name": "three"}]}
    assert TREE["stages"][1] == {"name": "two"}


def test_a_setting_that_the_file_does_not_give_can_be_set() -> None:
    assert changed("stages.1.optimizer.eps", 1)["stages"][1] == {"name": "two", "optimizer": {"eps": 1}}  # type: ignore[index]


def test_a_mapping_is_replaced_whole() -> None:
    assert changed("stages.0", {"name": "new"})["stages"][0] == {"name": "new"}  # type: ignore[index]


@pytest.mark.parametrize(
    ("key", "told"),
    [
        ("stages.2.name", r"^stages is a list and has no '2' \(possible: 0 \(one\), 1 \(two\)\)"),
        ("stages.two.name", r"has no 'two' \(possible: 0 \(one\), 1 \(two\)\)\. Did you mean '1'\?"),
        ("stages.-1.name", r"stages is a list and has no '-1'"),
        (
            "task.labels",
            r"task is 'classify', which holds no 'labels'; .* task=\{kind: classify, labels: \.\.\.\}",
        ),
    ],
)
def test_a_path_whose_parent_is_not_there_names_what_is(key: str, told: str) -> None:
    with pytest.raises(ExperimentError, match=told):
        changed(key, 1)


def test_what_was_changed_is_laid_to_the_one_who_changed_it() -> None:
    document = Document(TREE, {(): "f:1", ("model",): "f:1", ("model", "path"): "f:2", ("stages",): "f:3"})
    after = apply_override(document, Override("model", {"path": "b"}, "override"))
    assert after.origin(("model", "path")) == "override"
    assert after.origin(("stages", 0)) == "f:3"
    assert apply_override(document, Override("modle.path", 1, "override")).origin(("modle",)) == "override"
