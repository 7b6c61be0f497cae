"""The hashes of a finished run's own files: evidence that nothing was changed since."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tunesmith.errors import ExperimentError
from tunesmith.files import SUMS, damage, write_sums

FILES = (
    *("experiment.yaml", "run.json", "environment.json", "audit.json", "lineage.json", "log.jsonl"),
    *("evaluation/key.json", "evaluation/comparison.json", "stages/*/claim.json", "stages/*/done.json"),
)
"""What a run's `SHA256SUMS` vouches for. Evaluations and checkpoints have their own; what a stage left is in its
`done.json`; the report is made of all these."""


def refuse_changed_run(run: Path, names: Sequence[str] = FILES) -> None:
    """Raise ExperimentError if one of these files of a finished run is not what it was when the run was over. One that
    is missing is not looked for: the step that writes it writes it again."""
    there = [file.relative_to(run).as_posix() for name in names for file in run.glob(name)]
    if (fault := damage(run, there)) is not None:
        raise ExperimentError(
            f"{fault}. Bring it back from a copy, or delete it and call `tunesmith run` with the same experiment (all "
            "is made again but for the curves of log.jsonl)"
        )


def is_incomplete(run: Path) -> bool:
    """True if a run lacks a file that is written when it begins."""
    return not all((run / name).exists() for name in ("experiment.yaml", "run.json", "environment.json"))


def is_sealed(run: Path) -> bool:
    """True if the hashes of a run are there."""
    return (run / SUMS).exists()


def seal(run: Path) -> None:
    """Write the hashes of a run that is over."""
    write_sums(run, *(file.relative_to(run).as_posix() for name in FILES for file in run.glob(name)))


def unseal(run: Path) -> None:
    """Take the hashes of a run away, before something in it changes."""
    (run / SUMS).unlink(missing_ok=True)
