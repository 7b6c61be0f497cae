from __future__ import annotations

from pathlib import Path

from tests.model.families.conversations import tiny_family


def test_a_base_model_may_end_its_answer_as_it_ended_documents(tmp_path: Path) -> None:
    family = tiny_family(tmp_path, "qwen2")
    tokens = family.tokenizer("Paris<|endoftext|>Berlin<|im_end|>")["input_ids"]
    assert family.parse(tokens) == ("Paris", True)
    assert len(family.stop_tokens) == 2
