"""The benchmark of attention over short segments: what it compares, and what it says without a GPU."""

from __future__ import annotations

import pytest
import torch

from benchmarks import attention_passes


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_that_it_needs_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["benchmark", "--only", "windows", "--tune"])
    with pytest.raises(SystemExit, match="this needs a GPU"):
        attention_passes.main()


def test_a_line_that_it_does_not_know_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["benchmark", "--only", "books"])
    with pytest.raises(SystemExit):
        attention_passes.main()
    assert "choose from" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "tokens"), [("qwen3-0.6b", 16384), ("qwen2.5-7b", 8192), ("windows", 20736)]
)
def test_lines_are_full_and_short_enough_for_the_kernels(name: str, tokens: int) -> None:
    line = attention_passes.LINES[name]
    assert sum(line.lengths) == tokens
    assert max(line.lengths) <= 400
    if line.causal:
        assert 100 < tokens / len(line.lengths) < 128
