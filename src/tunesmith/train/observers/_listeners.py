"""Opens all listeners of a run: console, log files and the trackers of the experiment."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console as Terminal

from tunesmith.train.observers import Event, Listener, Observer
from tunesmith.train.observers._console import Console
from tunesmith.train.observers._jsonl import Jsonl


@contextmanager
def open_listeners(
    folder: Path,
    log: Path,
    name: str,
    settings: Mapping[str, Any],
    trackers: Sequence[Observer],
    terminal: Terminal,
) -> Iterator[Callable[[Event], None]]:
    """A function that passes an event to the terminal, to `train.log` in the folder, to the JSON log and to every
    tracker. All are closed when the block ends."""
    with ExitStack() as closing:
        text = closing.enter_context((folder / "train.log").open("a", encoding="utf-8", buffering=1))
        file = Terminal(file=text, width=120, force_terminal=False, color_system=None)
        listeners: list[Listener] = [Console(terminal), Jsonl(log), Console(file)]
        listeners += [tracker.watch(folder, name, settings) for tracker in trackers]
        for listener in listeners:
            closing.callback(listener.close)

        def listen(event: Event) -> None:
            for listener in listeners:
                listener.event(event)

        yield listen
