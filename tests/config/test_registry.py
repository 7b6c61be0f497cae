"""The folder is the registry: a file in a registry is a kind, without being named anywhere else."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from pydantic import TypeAdapter, ValidationError

from tunesmith.config.registry import Registry
from tunesmith.errors import ExperimentError

ITEM = """
from typing import Literal
from tunesmith.config.settings import Settings

class {name}(Settings):
    kind: Literal["{kind}"]
    size: int = 1
"""


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    folder = tmp_path / "registry_of_tests"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "_private.py").write_text("raise RuntimeError('not an item')")
    (folder / "yes_no.py").write_text(ITEM.format(name="YesNo", kind="yes-no"))
    (folder / "plain.py").write_text(ITEM.format(name="Plain", kind="plain"))
    (folder / "function.py").write_text("def function(): return 3")
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in [name for name in sys.modules if name.startswith("registry_of_tests")]:
        monkeypatch.delitem(sys.modules, name)
    return Registry("registry_of_tests")


def test_every_public_file_is_a_kind(registry: Registry) -> None:
    assert registry.kinds() == ["function", "plain", "yes-no"]
    assert registry.item("yes-no").__name__ == "YesNo"
    assert registry.item("function")() == 3


def test_an_unknown_kind_names_what_is_on_the_registry(registry: Registry) -> None:
    with pytest.raises(ExperimentError) as error:
        registry.item("yesno")
    assert (
        str(error.value)
        == "registry_of_tests has no 'yesno' (function, plain, yes-no). Did you mean 'yes-no'?"
    )


def test_settings_are_told_apart_by_kind_and_a_word_stands_for_one(registry: Registry) -> None:
    either = TypeAdapter(registry.union())
    assert either.validate_python("plain").kind == "plain"
    assert either.validate_python({"kind": "yes-no", "size": 2}).size == 2
    assert either.validate_python(registry.item("yes-no")(kind="yes-no", size=3)).size == 3
    for wrong, error in (("other", "tag_invalid"), ({"size": 1}, "tag_not_found"), (3, "model_attributes")):
        with pytest.raises(ValidationError, match=error):
            either.validate_python(wrong)


def test_a_fault_inside_stands_under_its_kind_as_pydantics_own_unions_have_it(registry: Registry) -> None:
    with pytest.raises(ValidationError) as error:
        TypeAdapter(registry.union()).validate_python({"kind": "plain", "size": "x"})
    assert [one["loc"] for one in error.value.errors()] == [("plain", "size")]


def test_kinds_that_an_experiment_does_not_name_cost_it_nothing(registry: Registry) -> None:
    TypeAdapter(registry.union()).validate_python("plain")
    assert {name for name in sys.modules if name.startswith("registry_of_tests.")} == {
        "registry_of_tests.plain"
    }


def test_the_json_schema_tells_all_kinds_apart(registry: Registry) -> None:
    for path in sys.path:
        (Path(path) / registry.packages[0] / "function.py").unlink(missing_ok=True)
    word, mapping = TypeAdapter(registry.union()).json_schema()["anyOf"]
    assert word["enum"] == ["plain", "yes-no"]
    assert list(mapping["discriminator"]["mapping"]) == ["plain", "yes-no"]
