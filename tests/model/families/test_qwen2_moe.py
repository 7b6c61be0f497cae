from __future__ import annotations

from pathlib import Path

from tests.model.families.conversations import tiny_family


def test_the_end_of_a_document_ends_an_answer_as_in_qwen2(tmp_path: Path) -> None:
    family = tiny_family(tmp_path, "qwen2_moe")
    stops = family.tokenizer.convert_ids_to_tokens(list(family.stop_tokens))
    assert set(stops) == {"<|endoftext|>", "<|im_end|>"}
    assert not family.is_verified
