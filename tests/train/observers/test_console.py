from __future__ import annotations

import io
import time
from dataclasses import replace

from rich.console import Console as Terminal

from tests.train.observers.events import END, EVALUATION, EVENTS, START, update
from tunesmith.train.observers import Evaluation, StageEnd, StageStart
from tunesmith.train.observers._console import Console


def printed(*events: object, terminal: bool = False) -> str:
    out = io.StringIO()
    console = Console(Terminal(file=out, force_terminal=terminal, width=100, _environ={"TERM": "xterm"}))
    for event in events:
        console.event(event)
    console.close()
    console.close()
    return out.getvalue()


def test_what_is_trained_is_said_by_part_before_it_is_trained() -> None:
    text = printed(START)
    row = next(line for line in text.splitlines() if "language" in line)
    for word in ("lora", "1,200", "48,000", "2.50%", "4.8 kB"):
        assert word in row
    assert text.count("attention: sdpa (no GPU)") == 1


def test_without_a_terminal_a_line_comes_now_and_then() -> None:
    out = io.StringIO()
    console = Console(Terminal(file=out, width=100), seconds_between_lines=0.2)
    console.event(StageStart("adapt", 0, 4, 2, ()))
    for step in (1, 2, 3, 4):
        if step == 3:
            time.sleep(0.25)
        console.event(update(step))
    lines = [line for line in out.getvalue().splitlines() if "/4" in line]
    assert lines == ["  adapt 3/4 loss 0.6111, 100 tokens/s, 0:00:01 left"]


def test_an_evaluation_and_the_end_are_always_said() -> None:
    text = printed(*EVENTS)
    assert "adapt step 2: validation accuracy 0.75 (best so far)\n" in text
    assert "f1/World" not in text
    assert "adapt: 4 steps in 0:00:04\n" in text


def test_a_stage_that_stopped_early_or_went_on_says_so() -> None:
    text = printed(StageStart("adapt", 2, 4, 2, ()), StageEnd("adapt", 3, stopped_early=True, seconds=90))
    assert "goes on after step 2\n" in text
    assert "adapt: 3 steps in 0:01:30, stopped early\n" in text


def test_on_a_terminal_a_bar_shows_step_loss_speed_and_time_left() -> None:
    text = printed(START, update(1), update(2), EVALUATION, update(3), terminal=True)
    assert "3/4" in text
    assert "loss 0.6111, 100 tokens/s, 0:00:01 left, accuracy 0.75" in text


def test_an_evaluation_of_no_whole_metric_is_no_crash() -> None:
    assert "step 1: validation" in printed(START, Evaluation("adapt", 1, {"f1/World": 0.5}, best=False), END)


def test_memory_that_ran_out_is_told_once_with_the_forecast_as_it_is_now_also_at_the_first_update() -> None:
    start = replace(START, tokens_per_device=8192)
    cut = [replace(update(step), tokens_per_device=4096, forecast_gib=37.25) for step in (1, 2)]
    text = " ".join(printed(start, *cut).split())
    assert (
        text.count("warning: memory ran out at update 1; it was done again in micro-batches of at most") == 1
    )
    assert (
        "4,096 tokens (forecast, corrected: 37.2 GiB). Set batch.max_tokens_per_microbatch to that, or"
        in text
    )
    without = printed(start, replace(cut[0], forecast_gib=None))
    assert "4,096 tokens. Set" in " ".join(without.split())
    assert "warning" not in printed(START, *cut)


def test_the_metric_that_decides_is_in_every_line_of_an_evaluation() -> None:
    names = ("accuracy", "f1_macro", "f1_weighted", "balanced_accuracy", "f1", "log_loss")
    metrics = {name: number / 10 for number, name in enumerate(names)} | {"f1/Yes": 0.9}
    text = printed(Evaluation("adapt", 2, metrics, best=True, metric="f1"))
    assert "validation f1 0.4, accuracy 0, f1_macro 0.1, f1_weighted 0.2 (best so far)\n" in text
    text = printed(Evaluation("adapt", 2, metrics, best=False, metric="f1/Yes"))
    assert "validation f1/Yes 0.9, accuracy 0, " in text
