from __future__ import annotations

from pathlib import Path

import pytest

from tests.model.families.conversations import CONVERSATIONS, tiny_family
from tests.tiny import official_template


@pytest.mark.parametrize("thinking", [False, True])
def test_a_mixture_reads_and_writes_as_qwen3_does(tmp_path: Path, thinking: bool) -> None:
    template = official_template("qwen3")
    dense, mixture = (
        tiny_family(tmp_path / name, name, template, thinking) for name in ("qwen3", "qwen3_moe")
    )
    conversation = CONVERSATIONS["plain"]
    assert mixture.render(conversation).tokens.tolist() == dense.render(conversation).tokens.tolist()
    assert mixture.stop_tokens == dense.stop_tokens
    assert mixture.parse(mixture.continuation(conversation).tolist()) == (conversation.answer, True)
