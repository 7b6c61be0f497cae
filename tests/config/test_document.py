"""YAML is read as version 1.2 has it, and what is not YAML is told with its line."""

from __future__ import annotations

import pytest

from tunesmith.config.document import Document, parse_yaml
from tunesmith.errors import ExperimentError


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2e-4", 2e-4), ("1E5", 1e5), (".5", 0.5), ("012", 12), ("0o17", 15), ("0x1F", 31),
        ("no", "no"), ("yes", "yes"), ("on", "on"), ("off", "off"),
        ("true", True), ("null", None), ("~", None),
        ("2024-01-01", "2024-01-01"), ("12:30:45", "12:30:45"), ("'1'", "1"),
    ],
)  # fmt: skip
def test_a_scalar_is_what_yaml_1_2_says(text: str, value: object) -> None:
    assert parse_yaml(f"x: {text}", "f").value == {"x": value}


def test_keys_are_text_whatever_they_look_like() -> None:
    assert parse_yaml("{1: a, true: b, 2e-4: c}", "f").value == {"1": "a", "true": "b", "2e-4": "c"}


def test_every_value_knows_its_line() -> None:
    document = parse_yaml("a:\n  - b\n  - c: 1\n    d: 2\n", "f.yaml")
    assert document.origin(("a",)) == "f.yaml:1"
    assert document.origin(("a", 0)) == "f.yaml:2"
    assert document.origin(("a", 1, "d")) == "f.yaml:4"
    assert document.origin(("a", 1, "missing")) == "f.yaml:3"
    assert Document({}).origin(("a",)) == ""


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: 1\nb:\n  c: 1\n  c: 2", "f:4: key 'c' stands twice, first at f:3; keep one of them"),
        (
            "a: &x 1\nb: *x",
            "f:1: anchors (&) and aliases (*) are not read; write the value out, or use `variants` (&x)",
        ),
        ("a: &x [*x]", "f:1: anchors"),
        ("a: *x", "f:1: not YAML: found undefined alias"),
        ("a: !!python/name:os.system 1", "f:1: tags are not read (got "),
        ("a: !!int x", "f:1: 'x' is no int"),
        ("[a]: 1", "f:1: a key must be text, not a list or a mapping"),
        ("a: [1, 2\nb: 3", "f:2: not YAML: "),
        ("a: 'x", "f:1: not YAML: while scanning a quoted scalar"),
        ("a:\n\tb: 1", "f:2: not YAML: a tab stands where YAML wants spaces; indent with spaces"),
        ("a: 1\n---\nb: 2", "f:2: not YAML: two documents (---) in one file; keep one"),
        (
            "a: b: c",
            "f:1: not YAML: mapping values are not allowed here; a text with ': ' in it needs quotes",
        ),
        ("a: \x00", "f: not YAML: "),
    ],
)
def test_what_is_not_to_be_read_is_told_with_its_line(text: str, told: str) -> None:
    with pytest.raises(ExperimentError) as error:
        parse_yaml(text, "f")
    assert str(error.value).startswith(told)


def test_all_doubled_keys_are_told_at_once() -> None:
    with pytest.raises(ExperimentError) as error:
        parse_yaml("a: 1\na: 2\nb: {c: 1, c: 2}\n", "f")
    assert str(error.value).splitlines() == [
        "f:2: key 'a' stands twice, first at f:1; keep one of them",
        "f:3: key 'c' stands twice, first at f:3; keep one of them",
    ]
