"""Each file of a finished and of an unfinished run damaged; then the run goes on, predicts, is merged, is reported."""

from __future__ import annotations

import hashlib
import random
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.kills.forked import Ended, call
from benchmarks.kills.interrupted import references, undisturbed
from benchmarks.kills.left import differences, left_in
from benchmarks.kills.parts import Part
from benchmarks.kills.tally import Outcome

VARIANT = "head"
COMMANDS = ("run", "predict", "merge", "report")
UNDAMAGED = {".lock", ".holder"}


def flipped(content: bytes, chance: random.Random) -> bytes:
    place = chance.randrange(len(content) or 1)
    return content[:place] + bytes([content[place] ^ 1 << chance.randrange(8)]) + content[place + 1 :]


HARMS: dict[str, Callable[[bytes, random.Random], bytes]] = {
    "a bit flipped": flipped,
    "cut to half": lambda content, _: content[: len(content) // 2],
    "emptied": lambda _, __: b"",
}


@dataclass(frozen=True)
class Trial:
    """A command after a file was damaged."""

    start: str
    """`finished` or `unfinished`."""
    command: str
    file: str
    harm: str


def damaged(folder: Path, number: int, seed: int, part: Part) -> Iterator[Outcome]:
    """What became of this part of so many trials, drawn by the seed; each clear error is followed by what it
    advises."""
    reference = references(folder)[VARIANT].left
    file, chance = folder / "small.yaml", random.Random(seed)
    _keep_unfinished(folder, file)
    undisturbed(folder, file, VARIANT)
    shutil.copytree(folder / "runs", folder / "finished", dirs_exist_ok=True)
    wanted = {command: _result(folder, command, reference) for command in COMMANDS}
    trials = [
        Trial(start, command, name, harm)
        for start, commands in (("finished", COMMANDS), ("unfinished", ("run",)))
        for name in _files(folder / start)
        for harm in HARMS
        for command in commands
    ]
    drawn = chance.sample(range(len(trials)), min(number, len(trials)))
    for index in drawn[part.index :: part.count]:
        yield from _tried(folder, trials[index], wanted, random.Random(f"{seed} {index}"))


def _keep_unfinished(folder: Path, file: Path) -> None:
    """Keep a copy of a run that was killed in its last stage, where it has two checkpoints."""
    shutil.rmtree(folder / "runs", ignore_errors=True)
    newest = folder / "runs" / "small" / VARIANT / "stages" / "three" / "checkpoints" / "step-2"
    instant = 0.5
    while not newest.is_dir() or (newest.parent.parent / "done.json").exists():
        if (newest.parent.parent / "done.json").exists():
            shutil.rmtree(folder / "runs")
        call(folder, "run", file, "--variant", VARIANT, kill_at=instant)
        instant += 0.02
    shutil.copytree(folder / "runs", folder / "unfinished", dirs_exist_ok=True)


def _files(folder: Path) -> list[str]:
    found = (file for file in sorted(folder.rglob("*")) if file.is_file() and "locks" not in file.parts)
    return [
        file.relative_to(folder).as_posix()
        for file in found
        if file.name not in UNDAMAGED and file.stat().st_size
    ]


def _command(folder: Path, command: str) -> Ended:
    run = folder / "runs" / "small" / VARIANT
    shutil.rmtree(folder / "merged", ignore_errors=True)
    (folder / "out.jsonl").unlink(missing_ok=True)
    arguments = {
        "run": ("run", folder / "small.yaml", "--variant", VARIANT),
        "predict": ("predict", run, folder / "rows.jsonl", "--output", folder / "out.jsonl"),
        "merge": ("merge", run, folder / "merged"),
        "report": ("report", run),
    }
    return call(folder, *arguments[command])


def _left(folder: Path, command: str) -> object:
    """What the command is to leave."""
    if command == "run":
        left = left_in(folder / "runs")
        return _read_again(left)
    if command == "merge":
        return left_in(folder / "merged")
    file = folder / "out.jsonl" if command == "predict" else folder / "runs/small" / VARIANT / "report.html"
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.exists() else None


def _read_again(left: dict[str, Any]) -> dict[str, Any]:
    """Without what is set aside, and what nobody reads once a stage is over: its claim and its checkpoints."""
    return {
        name: content
        for name, content in left.items()
        if "/checkpoints/" not in name and not name.endswith("/claim.json")
    }


def _result(folder: Path, command: str, reference: dict[str, Any]) -> object:
    if command == "run":
        return _read_again(reference)
    ended = _command(folder, command)
    if ended.kind != "done":
        raise RuntimeError(f"{command} of a run that is whole fails:\n{ended.said}")
    return _left(folder, command)


def _tried(folder: Path, trial: Trial, wanted: dict[str, object], chance: random.Random) -> Iterator[Outcome]:
    shutil.rmtree(folder / "runs")
    shutil.copytree(folder / trial.start, folder / "runs")
    harmed = folder / "runs" / trial.file
    content = harmed.read_bytes()
    harmed.write_bytes(HARMS[trial.harm](content, chance))
    ended = _command(folder, trial.command)
    what = f"{trial.start} run, a file {trial.harm}, {trial.command}"
    which = f"{trial.file} {trial.harm}, {trial.command}: "
    if ended.kind == "done":
        is_same = _left(folder, trial.command) == wanted[trial.command]
        why = "" if is_same else which + _odd(folder, trial.command, wanted)
        yield Outcome(what, "right" if is_same else "wrong", why)
    elif ended.kind == "error":
        yield Outcome(what, "clear error", which + ended.said[-600:])
        yield _advised(folder, trial, ended, wanted)
    else:
        yield Outcome(what, "wrong", which + ended.said[-2000:])


def _odd(folder: Path, command: str, wanted: dict[str, object]) -> str:
    found, known = _left(folder, command), wanted[command]
    both = isinstance(found, dict) and isinstance(known, dict)
    return f"{', '.join(differences(known, found)) if both else 'what it leaves'} differs"  # type: ignore[arg-type]


def _advised(folder: Path, trial: Trial, ended: Ended, wanted: dict[str, object]) -> Outcome:
    """What came of doing as an error says: delete the file or the folder, and run again."""
    what, which = "what an error advises, done", f"{trial.file} {trial.harm}, {trial.command}: "
    said = " ".join(ended.said[ended.said.rfind("error: ") :].split())
    places = re.findall(r"[Dd]elete(?: the folder)? (/\S+?|runs/\S+?)[,.]?(?: |$)", said)
    if not places and re.search(r"[Dd]elete it", said):
        places = re.findall(r"error: (\S+?):(?:\d+:)? ", said)
    if not places:
        return Outcome(what, "wrong", f"{which}no advice is found in: {said}")
    for place in places:
        target = folder / place
        if not target.resolve().is_relative_to(folder / "runs"):
            return Outcome(what, "wrong", f"{which}it advises to delete {place}: {said}")
        shutil.rmtree(target) if target.is_dir() else target.unlink(missing_ok=True)
    again = _command(folder, "run")
    if again.kind == "done" and trial.command != "run":
        again = _command(folder, trial.command)
    is_same = again.kind == "done" and _left(folder, trial.command) == wanted[trial.command]
    if is_same:
        return Outcome(what, "right")
    why = again.said[-1200:] if again.kind != "done" else _odd(folder, trial.command, wanted)
    return Outcome(what, "wrong", f"{which}{said} Then: {why}")
