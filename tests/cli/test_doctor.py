"""`tunesmith doctor` says what is there, for people and for programs."""

from __future__ import annotations

import json
import sys

import pytest
import torch

from tunesmith.cli.main import main


def shown(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    monkeypatch.setattr(sys, "argv", ["tunesmith", "doctor", *arguments])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 0
    return capsys.readouterr().out


def test_a_program_can_read_what_the_machine_has(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = json.loads(shown(monkeypatch, capsys, "--json"))
    versions = {one["name"]: one["says"] for one in found["versions"]}
    assert versions["torch"] == torch.__version__
    assert {one["name"] for one in found["trackers"]} == {"tensorboard", "wandb", "trackio"}
    assert set(found["disk"][0]) == {"name", "works", "says", "bring"}


def test_a_person_can_read_what_the_machine_has(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = shown(monkeypatch, capsys)
    for topic in ("versions", "devices", "attention", "kernels", "weights", "pictures", "trackers", "disk"):
        assert f"\n{topic}\n" in f"\n{text}"
    assert f"+ torch          {torch.__version__}\n" in text
    assert "+ sdpa" in text
