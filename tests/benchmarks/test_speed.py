"""The speed benchmark: its engines do the same work, and its table says what was measured."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from benchmarks.speed import compare, fitting, markdown, table, workloads
from benchmarks.speed.__main__ import main
from benchmarks.speed.engines import ENGINES
from benchmarks.speed.goals import GOALS
from benchmarks.speed.methods import METHODS
from benchmarks.speed.process import Ahead, Process

from benchmarks import memory

TEXT = SimpleNamespace(get_text_config=lambda: SimpleNamespace(vocab_size=152_064))
SEEING = SimpleNamespace(
    get_text_config=lambda: SimpleNamespace(vocab_size=152_064),
    vision_start_token_id=1,
    vision_end_token_id=2,
    image_token_id=3,
)


@pytest.mark.parametrize("small", [False, True])
@pytest.mark.parametrize("name", list(workloads.WORKLOADS))
def test_every_update_has_as_many_real_tokens_as_the_table_divides_by(name: str, small: bool) -> None:
    work = workloads.of(name, small)
    config = SEEING if work.sees else TEXT
    for number in range(3):
        samples = workloads.update(work, number, config)
        assert len(samples) == work.samples
        assert sum(len(one.tokens) for one in samples) == work.tokens
        assert all(one.trained.sum() == work.trained for one in samples)
        marks = work.placeholders + 2 if work.sees else 0
        assert all(work.shortest <= len(one.tokens) - marks <= work.longest for one in samples)


def test_batches_are_the_same_in_every_process_and_differ_from_update_to_update() -> None:
    work = workloads.of("short-text", small=False)
    first, again, second = (workloads.update(work, number, TEXT) for number in (0, 0, 1))
    assert all(np.array_equal(one.tokens, other.tokens) for one, other in zip(first, again, strict=True))
    assert [len(one.tokens) for one in first] != [len(one.tokens) for one in second]


def test_questions_in_a_row_show_one_picture() -> None:
    samples = workloads.update(workloads.of("many-questions", small=False), 1, SEEING)
    assert [one.picture for one in samples] == [4] * 6 + [5] * 6 + [6] * 6 + [7] * 6


def row(engine: str, tokens_a_second: float, **more: Any) -> dict[str, Any]:
    return {
        "engine": engine,
        "workload": "short-text",
        "method": "lora",
        "model": "qwen2.5-7b",
        "peak_gib": 20.0,
        "tokens_a_second": tokens_a_second,
        "loss": 8.0,
        "trained_weights": 1_000_000,
        **more,
    }


def test_ratios_are_to_the_best_peer_of_each_kind_and_leave_failures_out() -> None:
    rows = [
        row("tunesmith", 300.0),
        row("trl-padded", 50.0),
        row("unsloth", 100.0, trained_weights=1_500_000),
        row("unsloth+flash", 200.0, loss=8.08),
        {"engine": "trl+flash", "error": "not installed"},
    ]
    assert compare.ratios(rows) == [
        "  tunesmith: 3.00 x unsloth (as installed), 1.50 x unsloth+flash (with flash attention)",
        "  first losses differ by 1.00%",
        "  millions of weights trained: tunesmith 1.00, trl-padded 1.00, unsloth 1.50, unsloth+flash 1.00",
    ]


def test_less_memory_is_compared_with_peers_that_stay_within_it_and_fp8_with_those_of_bf16() -> None:
    rows = [
        row("tunesmith-17gib", 150.0, peak_gib=17.2),
        row("tunesmith-checkpointing", 180.0, peak_gib=19.0),
        row("unsloth", 200.0, peak_gib=40.0),
        row("unsloth-checkpointing", 120.0, peak_gib=18.0),
    ]
    eight = row("tunesmith", 400.0, method="fp8")
    assert compare.ratios(rows)[:2] == [
        "  tunesmith-17gib: 0.75 x unsloth (as installed), took 17.2 GiB, more than the 17.0 it was set for, "
        "no peer stays within 17.0 GiB",
        "  tunesmith-checkpointing: 0.90 x unsloth (as installed), 1.50 x unsloth-checkpointing (within 19.0 GiB)",
    ]
    assert compare.ratios([eight], rows) == ["  tunesmith: 2.00 x unsloth (as installed, lora)"]


def test_a_page_shows_speed_memory_and_ratios_of_every_group() -> None:
    more = {"enough": True, "utilisation": 0.7, "samples_a_second": 3.0, "patches": 0}
    rows = [
        row("tunesmith", 12_000.0, **more),
        row("trl+flash", 8_000.0, **(more | {"enough": False, "seconds": [1.0] * 3})),
        {**row("unsloth", 0.0), "error": "not installed"},
        row(
            "tunesmith-20.5gib", 100.0, workload="one-picture", **(more | {"patches": 4, "utilisation": None})
        ),
        row("unsloth", 200.0, workload="one-picture", **(more | {"samples_a_second": 6.0})),
    ]
    machine = {"date": "2026-01-31", "device": "H200", "command": ["python", "-m", "benchmarks.speed"]}
    assert list(markdown.pages(machine, rows))[1:] == [
        "",
        "| short-text, lora, qwen2.5-7b | tokens a second | peak GiB | of matrix rate "
        "| over the best peer as installed | over the best peer with flash attention |",
        "|---|---|---|---|---|---|",
        "| tunesmith | 12,000 | 20.0 | 70% |  | 1.50 (trl+flash) |",
        "| trl+flash | 8,000 (3 updates timed) | 20.0 | 70% |  |  |",
        "| unsloth | not installed |  |  |  |  |",
        "",
        "| one-picture, lora, qwen2.5-7b | samples a second | peak GiB | of matrix rate "
        "| over the best peer as installed | over the best peer with flash attention "
        "| over the best peer within the same memory |",
        "|---|---|---|---|---|---|---|",
        "| tunesmith-20.5gib | 3.0 | 20.0 |  | 0.50 (unsloth) |  | 0.50 (unsloth), 20.5 GiB |",
        "| unsloth | 6.0 | 20.0 | 70% |  |  |  |",
    ]


@pytest.mark.parametrize("text", [None, "{", "[]", '{"rows": []}'])
def test_a_file_that_holds_no_table_is_told_in_a_sentence(tmp_path: Path, text: str | None) -> None:
    file = tmp_path / "speed.json"
    if text is not None:
        file.write_text(text)
    with pytest.raises(SystemExit, match=r"speed\.json: cannot be read"):
        table.read(file)


def test_what_fills_the_readme_names_only_what_there_is() -> None:
    keys = [key for one in GOALS for key in one.keys]
    assert len(set(keys)) == len(keys)
    for engine, workload, method, _ in keys:
        assert (engine in ENGINES, workload in workloads.WORKLOADS, method in METHODS) == (True, True, True)


def test_so_many_micro_batches_take_the_fewest_tokens_with_which_every_update_fits() -> None:
    assert fitting.fewest_tokens([[60] * 4, [30] * 8], 2) == 128
    assert fitting.fewest_tokens([[60] * 4, [100, 100, 40]], 2) == 192
    assert fitting.fewest_tokens([[60] * 4], 1) == 256


def test_share_of_the_matrix_rate_counts_four_operations_a_weight_and_token_with_adapters() -> None:
    measured = row(
        "tunesmith", 0.0, method="lora", tokens=100, patches=10, update_seconds=2.0, matrix_rate=1e6
    )
    counts = {"language": 1000, "vision": 50}
    done = table.completed(measured | {"workload_is": {"samples": 4}}, counts)
    assert done["flops_an_update"] == 4 * (1000 * 100 + 50 * 10)
    assert done["utilisation"] == pytest.approx(402_000 / 2 / 1e6)
    assert (done["tokens_a_second"], done["samples_a_second"]) == (50, 2)


def test_a_peer_and_tunesmith_start_from_one_loss_on_one_number_of_tokens(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if importlib.util.find_spec("trl") is None:
        pytest.skip("trl is not installed")
    engines = ["tunesmith", "trl-padded", "unsloth"]
    main(["--small", "--engines", *engines, "--updates", "2", "--warmup", "1", "--out", str(tmp_path)])
    rows = json.loads((tmp_path / "speed.json").read_text())["rows"]
    assert [one["engine"] for one in rows] == engines
    ours, theirs, absent = rows
    assert ours["tokens_seen"] == theirs["tokens_seen"] == ours["tokens"] == 320
    assert ours["loss"] == pytest.approx(theirs["loss"], rel=1e-3)
    assert ours["trained_weights"] == theirs["trained_weights"]
    assert absent["error"].startswith("not installed") or absent["loss"] == pytest.approx(
        ours["loss"], rel=1e-2
    )
    said = capsys.readouterr().out
    assert "tunesmith: " in said
    assert "x trl-padded (as installed)" in said
    again = main(
        ["--small", "--engines", *engines[:2], "loop", "--seconds", "0", "--continue", "--out", str(tmp_path)]
    )
    assert again == [ours, theirs]
    said = capsys.readouterr().out
    assert said.count(" (earlier)") == 2
    assert "loop                        left out: " in said


@pytest.mark.slow
@pytest.mark.parametrize(
    ("workload", "method", "engines"),
    [
        ("many-questions", "lora", ["tunesmith", "tunesmith-shared", "loop", "trl"]),
        ("short-text", "lora", ["tunesmith-17gib", "tunesmith-17gib-selective"]),
        ("long-text", "full", ["tunesmith-checkpointing", "loop-checkpointing"]),
    ],
)
def test_engines_agree_on_the_first_loss_whatever_is_trained(
    workload: str, method: str, engines: list[str], tmp_path: Path
) -> None:
    asked = ["--small", "--workloads", workload, "--methods", method, "--engines", *engines]
    rows = main([*asked, "--updates", "1", "--warmup", "1", "--out", str(tmp_path)])
    assert not [one["error"] for one in rows if "error" in one]
    losses = [one["loss"] for one in rows]
    assert losses == pytest.approx([losses[0]] * len(engines), rel=1e-3)


def test_an_engine_that_takes_too_long_is_stopped_and_the_next_one_runs(tmp_path: Path) -> None:
    asked = ["--small", "--engines", "loop", "unsloth", "--limit", "0.05", "--out", str(tmp_path)]
    slow, absent = (one["error"] for one in main(asked))
    assert slow == "stopped after 0 seconds"
    assert absent.startswith(("not installed", "stopped"))


def test_a_process_that_died_while_it_waited_is_a_line_of_the_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def take(ahead: Ahead) -> Process:
        process = Process("loop", tmp_path)
        os.killpg(process.pid, signal.SIGKILL)
        return process

    monkeypatch.setattr(Ahead, "take", take)
    (found,) = main(["--small", "--engines", "loop"])
    assert found["error"] == "ended without a result (it said nothing)"


def test_a_process_that_waits_ends_when_the_benchmark_is_interrupted(tmp_path: Path) -> None:
    def interrupted() -> None:
        with Ahead(["loop"], tmp_path) as ahead:
            ahead.start_next()
            started.append(ahead.take())
            raise KeyboardInterrupt

    started: list[Process] = []
    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert started[0].has_ended(0)
    assert started[0].result is None


def test_every_peer_that_packs_runs_with_flash_attention_too() -> None:
    packing = {name for name, one in ENGINES.items() if one.is_peer and one.packed and not one.flash}
    assert {f"{name}+flash" for name in packing} <= ENGINES.keys()


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (["--small", "--updates", "0"], "--updates must be at least 1"),
        (["--small", "--out", __file__], f"--out: {__file__} cannot be made (File exists)"),
        (["--small", "--engines", "axolotl"], "--engines: axolotl: there is no such engine (tunesmith, "),
    ],
)
def test_what_cannot_be_run_is_told_in_a_sentence(
    asked: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(asked)
    assert told in capsys.readouterr().err


def test_shapes_that_need_a_gpu_are_not_made_without_one(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    monkeypatch.setattr("sys.argv", ["benchmark"])
    for command in (main, memory.main):
        with pytest.raises(SystemExit):
            command()
        assert "and PyTorch finds none; --small runs" in capsys.readouterr().err
