"""Writes texts: news of Zipf-distributed words, forms, prompts with little behind them, short questions."""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass, field

LABELS = ("World", "Sports", "Business", "Sci/Tech")


def vocabulary(size: int) -> list[str]:
    """Pronounceable words, short ones first."""
    syllables = ["".join(pair) for pair in itertools.product("bdfgklmnprstvz", "aeiou")]
    words = (map("".join, itertools.product(syllables, repeat=number)) for number in (1, 2, 3))
    return list(itertools.islice(itertools.chain.from_iterable(words), size))


@dataclass
class Writer:
    """Writes texts by chance."""

    chance: random.Random
    words: list[str] = field(default_factory=lambda: vocabulary(40_000))

    def __post_init__(self) -> None:
        self._weights = list(itertools.accumulate(1 / (rank + 3) for rank in range(len(self.words))))
        self._prompts: dict[int, str] = {}
        self._names = self.chance.sample(self.words[2000:], 2000)

    def word(self) -> str:
        """One word, more often a common one."""
        return self.chance.choices(self.words, cum_weights=self._weights)[0]

    def word_but(self, other: str) -> str:
        """A word that is another one than this."""
        return next(word for word in iter(self.word, None) if word != other.strip(".,").lower())

    def text(self, length: int) -> str:
        """Sentences of so many words in all, a number among them now and then."""
        words = self.chance.choices(self.words, cum_weights=self._weights, k=length)
        for at in range(length):
            if self.chance.random() < 0.02:
                words[at] = str(self.chance.randrange(2000))
        start = 0
        while start < length:
            end = min(length, start + self.chance.randint(8, 16))
            words[start] = words[start].capitalize()
            words[end - 1] += "."
            if end - start > 6:
                words[start + 3] += ","
            start = end
        return " ".join(words)

    def prompt(self, length: int) -> str:
        """The same words every time."""
        return self._prompts.setdefault(length, self.text(length))

    def prompted(self, length: int, payload: int) -> str:
        """A prompt that many texts have, with a few words behind it."""
        return f"{self.prompt(length)} {self.text(payload)}"

    def form(self) -> str:
        """One form, filled in."""
        chance, names, common = self.chance, self._names, self.words[:200]
        date = f"2026-{chance.randint(1, 12):02}-{chance.randint(1, 28):02}"
        by = chance.choice(["post", "courier", "hand"])
        address = (
            f"{chance.randint(1, 300)} {chance.choice(names)} street, {chance.choice(self.words[200:700])}"
        )
        goods = f"{chance.choice(common)} and {chance.choice(common)}"
        return (
            f"Customer name: {chance.choice(names)} {chance.choice(names)}. Date of order: {date}. The goods ordered "
            f"were {goods}, to be delivered by {by} within {chance.randint(2, 30)} days to the address {address}. "
            "Please confirm that you have received this order and tell us whether anything is missing."
        )

    def letter(self) -> str:
        """One letter to somebody about something: two words differ, no number."""
        chance = self.chance
        return (
            f"Dear {chance.choice(self._names)}, your order of {chance.choice(self.words[:300])} has arrived and can "
            f"be collected from our shop in {chance.choice(self._names)}."
        )

    def question(self) -> str:
        """A short question that many others resemble."""
        chance = self.chance
        return chance.choice(
            [
                f"What is the capital of {chance.choice(self._names)}?",
                f"How many {chance.choice(self._names)} are there in {chance.choice(self._names)}?",
                f"Who wrote the book {chance.choice(self._names)} {chance.choice(self.words)}?",
                f"Translate the word {chance.choice(self.words)} into {chance.choice(self._names)}.",
                f"Is the {chance.choice(self.words[:400])} above the {chance.choice(self.words[:400])}?",
            ]
        )
