"""What a task learns from all records together while they are read: no single record can tell a wrong setting."""

from __future__ import annotations

from abc import ABC, abstractmethod

from tunesmith.records.record import Record


class Survey(ABC):
    """Sees every record once, the ones that turn out to be bad rows included."""

    @abstractmethod
    def see(self, record: Record) -> None:
        """Take note of a record; nothing is raised for a bad one."""

    @abstractmethod
    def advice(self) -> str:
        """What to change so that all records fit, for the end of the list of bad rows; empty if nothing is known."""

    @abstractmethod
    def notes(self) -> list[str]:
        """What is doubtful though every record fits, a sentence each, for the log."""
