from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.model.families.pictures import FAMILIES, seeing
from tests.model.fixtures import tiny
from tests.tiny import tiny_seeing_model
from tunesmith.model.probing import probe, probe_layers


def test_a_text_model_is_asked_text_alone_and_the_same_every_time(tmp_path: Path) -> None:
    loaded = tiny(tmp_path)
    loaded.model.train()
    first, second = probe(loaded), probe(loaded)
    assert first.keys() == {"text"}
    assert torch.equal(first["text"], second["text"])
    assert loaded.model.training


@pytest.mark.parametrize("family", FAMILIES)
def test_a_model_that_sees_is_shown_pictures_whatever_its_chat_template(family: str, tmp_path: Path) -> None:
    folder = tiny_seeing_model(tmp_path, family)
    with_template = probe(seeing(folder))
    (folder / "chat_template.jinja").unlink()
    without = probe(seeing(folder))
    assert with_template.keys() == {"text", "pictures"}
    assert torch.equal(with_template["pictures"], without["pictures"])
    assert len(with_template["pictures"]) > len("two pictures")


def test_layers_are_probed_by_their_full_names(tmp_path: Path) -> None:
    name = "model.layers.0.mlp.up_proj"
    loaded = tiny(tmp_path)
    (output,) = probe_layers(loaded, [name]).values()
    rows = torch.randn(2, 64, generator=torch.Generator().manual_seed(0))
    assert torch.equal(output, loaded.model.get_submodule(name)(rows))
