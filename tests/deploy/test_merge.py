from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoModelForImageTextToText, AutoTokenizer

from tests.deploy.runs import SEES, STEP, classifies, finds
from tests.pipeline.small import lora_stage
from tunesmith import merge
from tunesmith.errors import ExperimentError, ModelError
from tunesmith.model.adapters import quietly

TOKENS = torch.arange(40)[None] * 7 % 1000
MODEL = {"path": "model", "weights": "fp32", "device": "cpu"}


def logits(model: torch.nn.Module) -> torch.Tensor:
    with torch.no_grad():
        return model.eval()(input_ids=TOKENS).logits


def base(run: Path) -> Path:
    return run.parents[2] / "model"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return classifies(tmp_path_factory.mktemp("merge") / "project", stages=[lora_stage(epochs=None, steps=4)])


def test_a_merged_model_answers_in_transformers_alone_as_base_and_adapter_do_in_peft(
    run: Path, tmp_path: Path
) -> None:
    folder = merge(run, tmp_path / "whole")
    plain = AutoModelForCausalLM.from_pretrained(base(run), dtype=torch.float32)
    untrained = logits(plain)
    with quietly():
        adapted = logits(PeftModel.from_pretrained(plain, run / "stages" / "adapt" / "adapter"))
    merged = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    torch.testing.assert_close(logits(merged), adapted, rtol=1e-4, atol=1e-4)
    assert (adapted - untrained).abs().max() > 0.01
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert tokenizer.apply_chat_template([{"role": "user", "content": "x"}], tokenize=False)
    assert not list(folder.glob("adapter*"))


@pytest.mark.parametrize("weights", ["nf4", "fp8"])
def test_a_model_that_was_trained_on_quantised_weights_is_written_without_quantisation(
    weights: str, tmp_path: Path
) -> None:
    if weights == "nf4":
        pytest.importorskip("bitsandbytes")
    run = classifies(tmp_path / "project", model=MODEL | {"weights": weights})
    folder = merge(run, tmp_path / "whole")
    stated = json.loads((folder / "config.json").read_text())
    assert "quantization_config" not in stated
    assert stated["dtype"] == "bfloat16"
    merged = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    # Rounded to few bits once, as what the adapter was trained on.
    plain = logits(AutoModelForCausalLM.from_pretrained(base(run), dtype=torch.float32))
    assert 0.01 < ((logits(merged) - plain).norm() / plain.norm()).item() < 0.5


def test_weights_that_were_trained_themselves_are_in_the_whole(tmp_path: Path) -> None:
    parts = {"projector": {"kind": "full"}, "language": {"kind": "lora", "rank": 4}}
    run = finds(tmp_path / "project", stages=[STEP | {"parts": parts}])
    assert (run / "stages" / "adapt" / "weights").is_dir()
    folder = merge(run, tmp_path / "whole")
    merged = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32).state_dict()
    plain = AutoModelForImageTextToText.from_pretrained(base(run), dtype=torch.float32).state_dict()
    changed = {name for name in plain if not torch.equal(plain[name], merged[name])}
    assert any(name.startswith("model.visual.merger") for name in changed)
    assert any(name.startswith("model.language_model.layers") for name in changed)
    assert not any(name.startswith("model.visual.blocks") for name in changed)
    assert (folder / "preprocessor_config.json").exists()


def test_a_fully_trained_model_is_one_already_and_is_written_as_it_is(tmp_path: Path) -> None:
    run = classifies(tmp_path / "project", stages=[STEP | {"parts": {"language": {"kind": "full"}}}])
    folder = merge(run, tmp_path / "whole")
    models = [
        AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32)
        for path in (folder, run / "stages" / "adapt" / "model")
    ]
    torch.testing.assert_close(logits(models[0]), logits(models[1]), rtol=0, atol=0)


def test_what_reads_back_with_other_answers_is_not_left(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(*_: object) -> None:
        raise ModelError("the merged model answers differently")

    monkeypatch.setattr("tunesmith.model.merging.refuse_other_answers", wrong)
    with pytest.raises(ModelError, match="answers differently"):
        merge(run, tmp_path / "whole")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("pixels", "said"), [({"longest_side": 84}, "longest side of 84 pixels"), ({"max": 9000}, "")]
)
def test_what_the_written_files_cannot_say_of_pictures_is_said(
    pixels: dict[str, int], said: str, tmp_path: Path
) -> None:
    run = finds(tmp_path / "project", model=SEES | {"pixels": pixels})
    told: list[str] = []
    folder = merge(run, tmp_path / "whole", say=told.append)
    assert [said in text for text in told] == [True] * bool(said)
    stated = json.loads((folder / "preprocessor_config.json").read_text())
    assert stated["max_pixels"] == stated["size"]["longest_edge"] == pixels.get("max", 84 * 84)


def test_what_is_there_already_is_never_replaced(run: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("x")
    for output in (tmp_path, tmp_path / "mine"):
        with pytest.raises(
            ExperimentError, match="is there already; name a folder that is not, or an empty one"
        ):
            merge(run, output)
    assert (tmp_path / "mine").read_text() == "x"
