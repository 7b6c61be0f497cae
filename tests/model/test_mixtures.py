from __future__ import annotations

from pathlib import Path

import pytest

from tests.model.fixtures import logits, tiny
from tests.tiny import tiny_model
from tunesmith.config.experiment import Model, Precision
from tunesmith.model.load import load

SIZES = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 64}


@pytest.mark.parametrize("weights", ["nf4", "bf16"])
def test_weights_of_experts_that_are_not_quantised_are_counted_in_the_log(
    tmp_path: Path, weights: Precision
) -> None:
    folder = tiny_model(tmp_path, "qwen3_moe", output_router_logits=True, **SIZES)
    loaded = load(Model(path=str(folder), weights=weights, device="cpu"))
    experts = 2 * 4 * 3 * 64 * 64
    notes = [note for note in loaded.notes if note.startswith("weights: nf4, except for the experts")]
    assert [f"({experts:,} of " in note for note in notes] == [True] * (weights == "nf4")
    assert [note for note in loaded.notes if note.startswith("router: the auxiliary loss")]
    assert not loaded.model.config.output_router_logits
    assert logits(loaded).isfinite().all()


def test_a_dense_model_has_no_such_notes(tmp_path: Path) -> None:
    notes = tiny(tmp_path, weights="nf4").notes
    assert not [note for note in notes if "experts" in note or note.startswith("router")]
