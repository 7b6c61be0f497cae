"""The folder is the registry: a file on a shelf is a kind, without being named anywhere else."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from pydantic import TypeAdapter, ValidationError

from tunesmith.config.shelf import Shelf
from tunesmith.errors import ExperimentError

ITEM = """
from typing import Literal
from tunesmith.config.settings import Settings

class {name}(Settings):
    kind: Literal["{kind}"]
    size: int = 1
"""


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shelf:
    folder = tmp_path / "shelf_of_tests"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "_private.py").write_text("raise RuntimeError('not an item')")
    (folder / "yes_no.py").write_text(ITEM.format(name="YesNo", kind="yes-no"))
    (folder / "plain.py").write_text(ITEM.format(name="Plain", kind="plain"))
    (folder / "function.py").write_text("def function(): return 3")
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in [name for name in sys.modules if name.startswith("shelf_of_tests")]:
        monkeypatch.delitem(sys.modules, name)
    return Shelf("shelf_of_tests")


def test_every_public_file_is_a_kind(shelf: Shelf) -> None:
    assert shelf.kinds() == ["function", "plain", "yes-no"]
    assert shelf.item("yes-no").__name__ == "YesNo"
    assert shelf.item("function")() == 3


def test_an_unknown_kind_names_what_is_on_the_shelf(shelf: Shelf) -> None:
    with pytest.raises(ExperimentError) as error:
        shelf.item("yesno")
    assert (
        str(error.value) == "shelf_of_tests has no 'yesno' (function, plain, yes-no). Did you mean 'yes-no'?"
    )


def test_settings_are_told_apart_by_kind_and_a_word_stands_for_one(shelf: Shelf) -> None:
    for path in sys.path:
        (Path(path) / shelf.package / "function.py").unlink(missing_ok=True)
    either = TypeAdapter(shelf.union())
    assert either.validate_python("plain").kind == "plain"
    assert either.validate_python({"kind": "yes-no", "size": 2}).size == 2
    with pytest.raises(ValidationError, match="union_tag_invalid"):
        either.validate_python("other")
