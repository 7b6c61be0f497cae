"""The small files of a run folder that tell what a folder belongs to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tunesmith.runs.json_file import JsonFile


@dataclass(frozen=True)
class TakenOverFrom:
    """The content of `trained_in.json`, of a stage that another run has trained."""

    run: str
    """Folder of that run, relative to the folder of this one."""


@dataclass(frozen=True)
class PredictionsSource:
    """The content of `source.json`, of predictions that were made elsewhere."""

    name: str
    file: str
    sha256: str
    """Hash of the file."""


CLAIM = JsonFile[str]("claim.json", str)
"""Key of the settings that a stage's folder belongs to."""
EVALUATION_KEY = JsonFile[str]("key.json", str)
"""Key of the settings that an evaluation belongs to."""
TRAINED_IN = JsonFile[TakenOverFrom]("trained_in.json", TakenOverFrom)
SOURCE = JsonFile[PredictionsSource]("source.json", PredictionsSource)
BASE = JsonFile[Mapping[str, Any]]("base.json", Mapping[str, Any])
"""Hashes of a few weights of the base model, by name."""
