"""`tunesmith show` prints what the model will really see."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from PIL import Image

from tests.cli.calling import call
from tests.cli.conftest import Finished
from tests.pipeline.pictured import pictured_experiment


def test_trained_tokens_stand_between_brackets(finished: Finished) -> None:
    ended = call("show", finished.path, "--variant", "low", "-n", "5")
    assert ended.code == 0, ended.err
    trained = re.findall("⟦(.*?)⟧", ended.out, re.DOTALL)
    assert len(trained) == 5
    assert set(trained) <= {"fruit<|im_end|>", "tool<|im_end|>"}
    assert (
        len(re.findall(r"^rows\.jsonl:\d+: \d+ tokens, \d+ trained \(\d+\.\d%\)$", ended.out, re.MULTILINE))
        == 5
    )
    assert ended.out.count("<|im_start|>user\nWhich? ") == 5


def test_three_are_shown_unless_another_number_is_asked_for_and_at_least_one(finished: Finished) -> None:
    assert call("show", finished.path, "--variant", "low").out.count("⟦") == 3
    assert call("show", finished.path, "--variant", "low", "--examples", "0").code == 2


def test_a_changed_setting_is_seen_at_once(finished: Finished) -> None:
    shown = call("show", finished.path, "--variant", "low", "stages.0.loss_on=all", "-n", "1").out
    (trained,) = re.findall("⟦(.*)⟧", shown, re.DOTALL)
    assert "Which?" in trained


@pytest.mark.parametrize("text", ["a [red]word[/red] [/bold]", "long " * 60 + "end", "早 🙂 :smile:"])
def test_text_of_the_data_is_shown_as_it_is(untouched: Path, text: str) -> None:
    rows = [{"text": f"{text} {number}", "label": "fruit"} for number in range(4)]
    (untouched.parent / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    ended = call("show", untouched, "data.split={holdout: 1, validation: 0}", "-n", "3")
    assert ended.code == 0, ended.err
    assert ended.out.count(f"Which? {text} ") == 3


def test_an_unknown_variant_is_2(finished: Finished) -> None:
    assert "Did you mean 'low'?" in call("show", finished.path, "--variant", "lows").err


def test_pictures_are_folded_and_drawn_and_said_where(tmp_path: Path) -> None:
    path = pictured_experiment(tmp_path)
    ended = call("show", path, "-n", "2")
    assert ended.code == 0, ended.err
    assert (
        len(re.findall(r"\[picture 1: photos/\d+\.png, \d+x\d+ seen as \d+x\d+, \d+ tokens\]", ended.out))
        == 2
    )
    assert "_pad|>" not in ended.out
    assert "▀" not in ended.out
    drawn = re.findall(r"^picture 1 with 1 box, as the model sees it: (.*\.png)$", ended.out, re.MULTILINE)
    assert len(drawn) == 2
    for file in drawn:
        with Image.open(file) as image:
            image.load()


def test_a_program_reads_the_examples_as_json(tmp_path: Path) -> None:
    ended = call("show", pictured_experiment(tmp_path), "-n", "1", "--json", "--output", tmp_path / "out")
    (shown,) = json.loads(ended.out)
    assert set(shown) == {"record", "tokens", "trained", "picture_tokens", "text", "pictures"}
    assert shown["text"].startswith("<|im_start|>")
    (seen,) = shown["pictures"]
    assert Path(seen["drawing"]).parent == tmp_path / "out"
    assert Path(seen["drawing"]).exists()
    assert seen["seen"][0] * seen["seen"][1] == seen["tokens"] * 28**2


def test_a_terminal_with_colours_gets_a_preview(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLORTERM", "truecolor")
    monkeypatch.setenv("TERM", "xterm-256color")
    path = pictured_experiment(tmp_path)
    assert "▀" in call("show", path, "-n", "1").out
    monkeypatch.setenv("NO_COLOR", "1")
    assert "▀" not in call("show", path, "-n", "1").out
