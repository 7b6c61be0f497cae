from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from tests.model.fixtures import CONVERSATIONS, logits, tiny


def product(device: torch.device) -> torch.dtype:
    ones = torch.ones(2, 2, device=device)
    return (ones @ ones).dtype


@pytest.mark.parametrize(("weights", "within"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_products_have_the_precision_of_the_weights_and_only_within_the_model(
    tmp_path: Path, weights: str, within: torch.dtype
) -> None:
    loaded = tiny(tmp_path, weights=weights, device="cpu")
    assert loaded.compute == within
    with loaded.precision():
        assert product(loaded.device) == within
    assert product(loaded.device) == torch.float32


def test_packed_logits_are_those_that_transformers_gives_each_example_alone(tmp_path: Path) -> None:
    loaded = tiny(tmp_path, device="cpu")
    reference = AutoModelForCausalLM.from_pretrained(tmp_path / "base-qwen2", dtype=torch.float32).eval()
    alone = []
    for conversation in CONVERSATIONS:
        example = loaded.family.render(conversation)
        tokens, trained = torch.from_numpy(example.tokens).long(), torch.from_numpy(example.trained)
        with torch.no_grad():
            alone.append(reference(input_ids=tokens[None]).logits[0, :-1][trained[1:]])
    torch.testing.assert_close(logits(loaded), torch.cat(alone), rtol=1e-4, atol=1e-5)
