from __future__ import annotations

from tunesmith.model.families import family_of
from tunesmith.model.families.llama import Llama


def test_its_models_have_layers_to_fuse_and_are_still_tried_when_they_are_loaded() -> None:
    assert family_of("llama") is Llama
    assert Llama.layer_classes
    assert not Llama.is_verified
