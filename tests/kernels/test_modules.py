from __future__ import annotations

import doctest
from pathlib import Path

from tests.model.fixtures import tiny
from tunesmith.kernels import modules
from tunesmith.methods.lora import Lora
from tunesmith.model.trainable import make_trainable


def test_an_adapter_changes_no_name_of_the_models_own_modules(tmp_path: Path) -> None:
    loaded = tiny(tmp_path)
    before = modules.own_modules(loaded.model)
    wrapped = make_trainable(loaded, {"language": Lora(dora=True, dropout=0.1)}, seed=0).loaded.model
    assert modules.own_modules(wrapped) == before
    assert modules.transformers_model(wrapped) is modules.transformers_model(loaded.model)


def test_examples_in_the_docstrings_hold() -> None:
    assert doctest.testmod(modules).failed == 0
