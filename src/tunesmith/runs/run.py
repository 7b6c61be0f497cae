"""`run.json`: which run this is, and where the folders lie that it shares with other runs."""

from __future__ import annotations

from dataclasses import dataclass

from tunesmith.runs.json_file import JsonFile


@dataclass(frozen=True)
class RunInfo:
    """The content of `run.json`. Files of earlier versions lack the fields that have a default."""

    experiment: str
    variant: str
    number: int = 1
    """Counts the runs of the variant from 1; each has other settings."""
    key: str | None = None
    """Key of all settings that decide what the run measures."""
    asked: str = ""
    """Key of what its evaluations measure; predictions from elsewhere for the same records have it too."""
    data: str = ""
    """Folder of the prepared records, relative to the run folder."""
    base: str = ""
    """Folder of the evaluation of the base model, relative to the run folder."""
    where: str = "."
    """Folder of the experiment file, relative to the run folder."""
    model: str | None = None
    """The base model: an absolute path, or its name on the hub."""

    @property
    def label(self) -> str:
        """Name of the run folder: `lora`, or `lora@2` for the second run of the variant."""
        return self.variant if self.number == 1 else f"{self.variant}@{self.number}"


RUN = JsonFile[RunInfo]("run.json", RunInfo)
