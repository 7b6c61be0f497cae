from __future__ import annotations

import json

import pytest

from tunesmith.forecast.memory import CONTEXT, FRAGMENTS, GIB, Forecast
from tunesmith.forecast.outlook import MOST_SAID, Fits, Line, Outlook, StageOutlook, Work, fits, ways_of
from tunesmith.forecast.time import EFFICIENCY
from tunesmith.methods.frozen import Frozen
from tunesmith.methods.full import Full
from tunesmith.methods.lora import Lora
from tunesmith.model.checkpointing import Level


def told(level: Level, tokens: int) -> tuple[int, Forecast]:
    of_token = GIB // (256 if level == "none" else 4096)
    return tokens, Forecast({"language": 14 * GIB}, GIB, 2 * GIB, tokens * of_token, 0, 0, flop=10**12)


def outlook(gib: float | None = 24) -> Outlook:
    lines = fits("lora", ["none", "full"], told)
    forecasts = {level: told(level, 4096)[1] for level in ("none", "full")}
    stage = StageOutlook("adapt", 4096, forecasts, lines.most_tokens(gib) if gib else {}, Work(3.6e18, 1e15))
    return Outlook(
        (stage,),
        (lines, fits("full", ["none"], lambda level, tokens: told("none", 9 * tokens))),
        gib,
        "a card",
    )


def test_the_most_tokens_just_fit() -> None:
    line = fits("lora", ["none"], told).lines["none"]
    for gib in (24, 48, 80):
        tokens = line.most_tokens(gib * GIB)
        assert told("none", tokens)[1].device <= gib * GIB < told("none", tokens + 256)[1].device


def test_a_card_takes_the_fastest_that_fits_it() -> None:
    lines = fits("lora", ["none", "full"], told)
    assert lines.on(8) is None
    assert lines.on(19) == ("full", lines.lines["full"].most_tokens(19 * GIB))
    # 1,280 would fit with none, but training takes no level with so few.
    assert lines.on(24) == ("full", lines.lines["full"].most_tokens(24 * GIB))
    assert lines.on(48) == ("none", lines.lines["none"].most_tokens(48 * GIB))
    assert fits("lora", ["none"], told).on(24) == ("none", 1280)
    assert Fits("x", {"none": Line(0, 1)}).on(80) == ("none", MOST_SAID)


def test_less_memory_than_is_enough_is_not_looked_for() -> None:
    asked: list[Level] = []

    def counted(level: Level, tokens: int) -> tuple[int, Forecast]:
        asked.append(level)
        return told(level, tokens)

    assert fits("lora", ["none", "full"], counted, least=48).on(48) == fits("lora", ["none"], told).on(48)
    assert set(asked) == {"none"}
    assert fits("lora", ["none", "full"], counted, least=24).on(24) == fits("lora", ["full"], told).on(24)
    assert set(asked) == {"none", "full"}


def test_a_person_reads_rows_that_add_up() -> None:
    lines = outlook().lines()
    head, none, full = lines[1:4]
    assert head.split()[2:] == [
        "weights",
        "gradients",
        "optimizer",
        "activations",
        "logits",
        "workspace",
        "allocated",
        "device",
    ]
    assert none.split() == [
        "adapt",
        "none",
        "4,096",
        "14.00",
        "1.00",
        "2.00",
        "16.00",
        "0.00",
        "0.00",
        "33.00",
        f"{33 * (1 + FRAGMENTS) + CONTEXT / GIB:.2f}",
    ]
    assert full.split()[:2] == ["adapt", "full"]
    assert (
        "largest batch.max_tokens_per_microbatch of stage adapt in 24 GiB: 1,280 with checkpointing none"
        in lines[4]
    )


def test_cards_that_are_too_small_have_a_dash_and_checkpointing_a_mark() -> None:
    lines = outlook().lines()
    assert lines[6].split() == ["8", "16", "24", "48", "80", "141"]
    row = next(line for line in lines if line.startswith("lora"))
    assert row.split()[1:3] == ["-", "-"]
    assert row.split()[-1] == f"{outlook().fits[0].most_tokens(141)['none']:,}"


def test_time_is_arithmetic_over_the_rate_that_training_reaches() -> None:
    assert Work(6e15, 1e14).seconds == pytest.approx(60 / EFFICIENCY)
    assert (
        outlook()
        .lines()[-1]
        .startswith("stage adapt should take 1.3 h on a card: 3.60e+18 FLOP at 78% of the")
    )


def test_a_program_reads_the_same() -> None:
    found = json.loads(json.dumps(outlook().to_json()))
    assert found["memory_gib"] == 24
    assert found["stages"][0]["memory"]["none"]["total"] == 33 * GIB
    assert found["cards"]["lora"]["8"] is None
    assert found["cards"]["lora"]["24"] == {"checkpointing": "full", "tokens_per_device": 22528}
    assert outlook(None).to_json()["stages"][0]["most_tokens_per_device"] == {}


def test_ways_are_those_of_the_parts_that_are_trained() -> None:
    given = {"language": Lora(rank=4), "vision": Frozen(), "head": Full()}
    ways = ways_of(given, ("vision", "projector", "language"), ("nf4",))
    assert [way.name for way in ways] == ["full", "lora", "nf4 + lora"]
    assert ways[0].methods == {"language": Full(), "head": Full()}
    assert ways[1].methods == {"language": Lora(rank=4), "head": Full()}
    assert set(ways[2].precisions.values()) == {"nf4"}
    assert ways_of({"language": Full()}, ("language",), ())[1].methods == {"language": Lora()}
    assert [way.name for way in ways_of({"head": Full()}, ("language",), ("nf4",))] == ["head"]
