"""Stop tokens in the files of a saved model, so that other programs end an answer where training did."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tunesmith.files import read_json, write_json


def write_stops(folder: Path, end: int, stops: Iterable[int]) -> None:
    """Write end tokens into `generation_config.json` (created if missing) and `config.json` (if there is one).

    `end` is the id of the token with which the chat template ends an answer. `generation_config.json` gets all of
    `stops` and the ids that it had, `end` first; `config.json` gets `end` alone, unless it lists `end` already.
    """
    generation = folder / "generation_config.json"
    settings: dict[str, Any] = read_json(generation) if generation.is_file() else {}
    ids = dict.fromkeys((end, *sorted({*stops, *_ids(settings.get("eos_token_id"))})))
    write_json(generation, settings | {"eos_token_id": list(ids)})
    config = folder / "config.json"
    if not config.is_file():
        return
    stated: dict[str, Any] = read_json(config)
    inner = stated.get("text_config")
    for level in (stated, inner if isinstance(inner, dict) else stated):
        if end not in _ids(level.get("eos_token_id")):
            level["eos_token_id"] = end
    write_json(config, stated)


def _ids(stated: Any) -> list[int]:
    """The ids of an `eos_token_id`: none, one or several."""
    if stated is None:
        return []
    return list(stated) if isinstance(stated, list) else [stated]
