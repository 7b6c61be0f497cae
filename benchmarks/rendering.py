"""How fast conversations become examples: one by one, and all together as a stage has them.

    python -m benchmarks.rendering [NUM_EXAMPLES]

Qwen's real vocabulary (of the package dashscope) and official chat templates (of TRL); questions about docstrings of
installed packages. Prints the best of several rounds, in which both take turns: examples a second by the clock, CPU
time of one example, and how much of that is Python's own, which is what is left of it by the clock where cores are
free for the tokenizer. Checks that both give the same tokens.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import cycle, islice
from pathlib import Path

import numpy as np
from transformers import AutoConfig

from tests.model.families.qwen_vocabulary import qwen_tokenizer
from tests.tiny import CLIP, official_template
from tunesmith.config.experiment import Pixels
from tunesmith.data.conversation import Conversation, Turn
from tunesmith.data.example import Example
from tunesmith.data.picture import Picture
from tunesmith.data.record import Record
from tunesmith.data.sources.docstrings import Docstrings
from tunesmith.model.families import Family, Trained, family_of
from tunesmith.model.families._sight import Sight
from tunesmith.pipeline.folder import files_sha256
from tunesmith.tasks import Task
from tunesmith.tasks.classify import Classify
from tunesmith.train.examples import Examples

ROUNDS, KEPT = 5, 54_000
PACKAGES = ["numpy", "scipy", "torch", "transformers"]
PROMPT = "Which library is this documentation from? Answer with its name.\n\n{text}"


def records(number: int) -> list[Record]:
    """So many texts with their library, and a picture that nobody will open."""
    source = Docstrings(packages=PACKAGES, per_package=number, per_file=20)
    found = [row for row in source.rows(Path()) if isinstance(row, Record)]
    picture = Picture("a.png", "0" * 64, 512, 512, "0" * 16)
    several = islice(cycle(found), number)
    return [
        Record(f"{one.id}#{place}", {**one.fields, "image": picture}) for place, one in enumerate(several)
    ]


def family(model_type: str, template: str) -> Family:
    """A family with the real vocabulary."""
    tokenizer = qwen_tokenizer()
    tokenizer.chat_template = official_template(template)
    kind = family_of(model_type)
    sight = Sight.of(Pixels(), CLIP) if kind.sees else None
    return kind(tokenizer, AutoConfig.for_model(model_type), sight=sight)


def talks(task: Task, asked: Iterable[Record]) -> Iterator[Conversation]:
    """Conversations of three questions and answers each."""
    for record in asked:
        one = task.conversation(record)
        yield Conversation(
            one.record, (*one.turns, Turn.of("assistant", one.answer)) * 2 + one.turns, one.answer
        )


class Best:
    """Shortest times of a call: by the clock, of the whole process, and of the thread that Python code runs in."""

    def __init__(self) -> None:
        self.clock = self.processor = self.python = float("inf")

    def time(self, call: Callable[[], Examples]) -> Examples:
        clock, processor, python = time.perf_counter(), time.process_time(), time.thread_time()
        result = call()
        self.python = min(self.python, time.thread_time() - python)
        self.processor = min(self.processor, time.process_time() - processor)
        self.clock = min(self.clock, time.perf_counter() - clock)
        return result


def compare(
    family: Family, conversations: Callable[[], Iterable[Conversation]], trained: Trained
) -> dict[str, Best]:
    """Times of both ways, which must give the same."""
    ways: dict[str, Callable[[Iterable[Conversation]], Iterator[Example]]] = {
        "one by one": partial(map, lambda one: family.render(one, trained)),
        "together": lambda several: family.render_all(several, trained),
    }
    times = {name: Best() for name in ways}
    for _ in range(ROUNDS):
        one, other = (
            times[name].time(lambda way=way: Examples(way(conversations()))) for name, way in ways.items()
        )
    for first, second in zip(one, other, strict=True):
        assert first.record == second.record
        np.testing.assert_array_equal(first.tokens, second.tokens)
        np.testing.assert_array_equal(first.trained, second.trained)
    return times


def main() -> None:
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 3000
    asked = records(number)
    text = Classify(labels=PACKAGES, field="library", prompt=PROMPT)
    seen = text.model_copy(update={"pictures": ["image"]})
    cases: dict[str, tuple[str, str, Callable[[], Iterable[Conversation]], Trained]] = {
        "Qwen2.5, text": ("qwen2", "qwen2_5", lambda: map(text.conversation, asked), "answer"),
        "Qwen3, text": ("qwen3", "qwen3", lambda: map(text.conversation, asked), "answer"),
        "Qwen3, three turns": ("qwen3", "qwen3", lambda: talks(text, asked), "assistant"),
        "Qwen2.5-VL, a picture": (
            "qwen2_5_vl",
            "qwen2_5_vl",
            lambda: map(seen.conversation, asked),
            "answer",
        ),
    }
    print("| | | examples a second | ms of CPU each | of it Python's thread |\n|---|---|---|---|---|")
    for name, (model_type, template, conversations, trained) in cases.items():
        for way, best in compare(family(model_type, template), conversations, trained).items():
            cost, python = 1000 * best.processor / number, 1000 * best.python / number
            print(f"| {name} | {way} | {number / best.clock:,.0f} | {cost:.3f} | {python:.3f} |", flush=True)
        once = list(family(model_type, template).render_all(conversations(), trained))
        for way, best in keep(Examples(islice(cycle(once), KEPT))).items():
            print(
                f"| {name} | {KEPT:,} {way} | {KEPT / best.clock:,.0f} | {1000 * best.processor / KEPT:.4f} | |",
                flush=True,
            )


def keep(made: Examples) -> dict[str, Best]:
    """Times of writing examples to disk, and of having them back, checked by their hash."""
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder, name) for name in ("tokens.npy", "trained.npy", "ends.npy", "others.json")]

        def write() -> Examples:
            made.write(Path(folder))
            files_sha256(files)
            return made

        def read() -> Examples:
            files_sha256(files)
            return Examples.read(Path(folder))

        times = {"written": Best(), "read": Best()}
        for _ in range(ROUNDS):
            times["written"].time(write)
            times["read"].time(read)
    return times


if __name__ == "__main__":
    main()
