from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.train.observers.events import EVENTS
from tunesmith.errors import ExperimentError
from tunesmith.train.observers.wandb import Wandb

wandb = pytest.importorskip("wandb")
KEY = "f00dfeedf00dfeedf00dfeedf00dfeedf00dfeed"


@pytest.fixture(autouse=True)
def apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing of this machine's own account or settings takes part."""
    for variable in ("WANDB_CONFIG_DIR", "WANDB_CACHE_DIR", "WANDB_DATA_DIR"):
        monkeypatch.setenv(variable, str(tmp_path / "home"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    yield
    wandb.teardown()


def records(folder: Path) -> list[Any]:
    """All that an offline run wrote. Its file is a log of LevelDB (blocks of 32 KiB, each record with a
    header of checksum, length and kind) behind 7 bytes of wandb's own."""
    from wandb.proto import wandb_internal_pb2

    (file,) = folder.glob("wandb/offline-run-*/*.wandb")
    data, place, found, begun = file.read_bytes(), 7, [], b""
    while place + 7 <= len(data):
        if 32768 - place % 32768 < 7:
            place += 32768 - place % 32768
        _, length, kind = struct.unpack_from("<IHB", data, place)
        begun += data[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # whole, or the last piece
            found.append(wandb_internal_pb2.Record.FromString(begun))  # type: ignore[attr-defined]
            begun = b""
    return found


@pytest.mark.slow
def test_an_offline_run_holds_every_number_and_no_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    run = tmp_path / "run"
    run.mkdir()
    listener = Wandb(mode="offline", project="news").watch(run, "ag-news/lora", {"name": "ag-news"})
    for event in EVENTS:
        listener.event(event)
    listener.close()
    listener.close()
    wandb.teardown()  # waits for its process, which still writes for a moment; so does the end of a program
    rows = [
        {"/".join(item.nested_key) or item.key: json.loads(item.value_json) for item in record.history.item}
        for record in records(run)
        if record.HasField("history")
    ]
    losses = {row["adapt/step"]: row["adapt/loss"] for row in rows if "adapt/loss" in row}
    assert losses == {step: pytest.approx(1 / step) for step in (1, 2, 3, 4)}
    assert [row["adapt/validation/accuracy"] for row in rows if "adapt/validation/accuracy" in row] == [0.75]
    started = next(record.run for record in records(run) if record.HasField("run"))
    assert (started.project, started.display_name) == ("news", "ag-news/lora")
    assert '"ag-news"' in [item.value_json for item in started.config.update if item.key == "name"]
    for file in tmp_path.rglob("*"):
        assert not file.is_file() or KEY.encode() not in file.read_bytes(), file


def test_without_a_key_online_says_what_to_do_before_anything_long_begins(tmp_path: Path) -> None:
    told = r"'wandb' could not begin a run: .*[^.]\. Call `wandb login`, set mode: offline"
    with pytest.raises(ExperimentError, match=told):
        Wandb(mode="online").check()
    with pytest.raises(ExperimentError, match=told):
        Wandb(mode="online").watch(tmp_path, "ag-news/lora", {})
    Wandb(mode="offline").check()
    Wandb(mode="disabled").check()


def test_disabled_writes_nothing(tmp_path: Path) -> None:
    listener = Wandb(mode="disabled").watch(tmp_path, "ag-news/lora", {})
    for event in EVENTS:
        listener.event(event)
    listener.close()
    assert not list(tmp_path.rglob("*.wandb"))
