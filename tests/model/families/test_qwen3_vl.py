from __future__ import annotations

from pathlib import Path

import pytest

from tests.model.families.pictures import picture, seeing
from tests.tiny import tiny_seeing_model
from tunesmith.images.boxes import AskForBoxes, Box, Boxes
from tunesmith.model.loaded import LoadedModel
from tunesmith.records.conversation import Conversation, Turn


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return seeing(tiny_seeing_model(tmp_path_factory.mktemp("model"), "qwen3_vl"))


def test_boxes_are_json_in_thousandths(loaded: LoadedModel, tmp_path: Path) -> None:
    shown = picture(tmp_path, 200, 100)
    boxes = Boxes(shown, (Box("table", (0.25, 0.25, 0.5, 0.75)),), labels=("table",))
    asked = Conversation("p:1", (Turn("user", (shown, AskForBoxes(("table",)))),), "[]", boxes=boxes)
    example = loaded.family.render(asked)
    written = loaded.family.tokenizer.decode(example.tokens[example.trained]).removesuffix("<|im_end|>")
    assert "[250, 250, 500, 750]" in written
    assert loaded.family.boxes(written, boxes) == boxes.boxes
