"""What the page about pictures says is so."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tunesmith.config.document import parse_yaml
from tunesmith.config.experiment import Pixels
from tunesmith.config.read import experiment_from
from tunesmith.images.resize import target_size
from tunesmith.model.families import family_of
from tunesmith.model.families._vision_language import VisionLanguage

PAGE = (Path(__file__).parents[2] / "docs" / "pictures.md").read_text(encoding="utf-8")


def test_its_settings_can_be_written_into_an_experiment() -> None:
    whole, parts, shared = (
        parse_yaml(text, "pictures.md").value for text in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    )
    settings: dict[str, Any] = {"name": "page"} | whole
    assert experiment_from(settings).model.pixels.longest_side == 448
    model = whole["model"] | parts["model"]
    assert experiment_from(settings | {"model": model, "stages": parts["stages"]}).model.quantised == "nf4"
    asking = {"kind": "answer", "prompt": "{question}", "pictures": ["image"]}
    stage = parts["stages"][0] | shared["stages"][0]
    assert experiment_from(settings | {"task": asking, "stages": [stage]}).stages[0].batch.share_prefixes


@pytest.mark.parametrize(
    ("model_type", "name"), [("qwen2_vl", "Qwen2-VL"), ("qwen2_5_vl", "Qwen2.5-VL"), ("qwen3_vl", "Qwen3-VL")]
)
def test_its_table_of_boxes_has_the_form_of_each_generation(model_type: str, name: str) -> None:
    (row,) = re.findall(rf"^\| {re.escape(name)} \|.*$", PAGE, re.MULTILINE)
    family = family_of(model_type)
    assert issubclass(family, VisionLanguage)
    assert ("box_start" in row, "bbox_2d" in row) == (family.form == "tokens", family.form == "json")


def test_its_budget_is_as_many_tokens_as_it_says() -> None:
    ((pixels, tokens),) = re.findall(r"`\{max: (\d+)\}` \| .* pixels: ([\d,]+) tokens", PAGE)
    rows, columns = target_size(8000, 5000, Pixels(max=int(pixels)), 28, 3136, 12845056)
    assert 0.97 < rows * columns / int(tokens.replace(",", "")) <= 1
