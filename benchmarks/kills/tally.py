"""What was tried and what came of it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import monotonic

KINDS = ("right", "clear error", "wrong")


@dataclass(frozen=True)
class Outcome:
    """What came of one thing that was tried."""

    what: str
    """Its kind, a row of the table."""
    came: str
    """One of `KINDS`."""
    why: str = ""
    """What is wrong, or what the error says."""
    kills: int = 0


@dataclass
class Tally:
    """Numbers of outcomes by kind."""

    counts: dict[str, Counter[str]] = field(default_factory=dict)
    kills: int = 0
    wrong: list[Outcome] = field(default_factory=list)

    def add(self, outcome: Outcome) -> None:
        self.counts.setdefault(outcome.what, Counter())[outcome.came] += 1
        self.kills += outcome.kills
        if outcome.came == "wrong":
            self.wrong.append(outcome)

    def table(self) -> str:
        """The numbers as a Markdown table."""
        rows = [f"| what | tried | {' | '.join(KINDS)} |", "|---|---|---|---|---|"]
        for what, counts in self.counts.items():
            numbers = [counts.total(), *(counts[kind] for kind in KINDS)]
            rows.append(f"| {what} | {' | '.join(f'{number:,}' for number in numbers)} |")
        return "\n".join(rows)


def write_log(outcomes: Iterable[Outcome], log: Path, minutes: float) -> None:
    """Write each outcome that comes within so many minutes to a log of JSON lines."""
    end = monotonic() + 60 * minutes
    with log.open("w", encoding="utf-8") as file:
        for outcome in outcomes:
            file.write(json.dumps(asdict(outcome)) + "\n")
            file.flush()
            if monotonic() > end:
                break


def tallied(logs: Iterable[Path]) -> Tally:
    """The numbers of all outcomes in some logs."""
    tally = Tally()
    for log in logs:
        for line in log.read_text("utf-8").splitlines():
            tally.add(Outcome(**json.loads(line)))
    return tally
