from __future__ import annotations

from tunesmith.model.families import family_of
from tunesmith.model.families.mistral import Mistral


def test_its_models_have_layers_to_fuse_and_are_still_tried_when_they_are_loaded() -> None:
    assert family_of("mistral") is Mistral
    assert Mistral.layer_classes
    assert not Mistral.is_verified
