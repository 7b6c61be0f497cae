"""Duplicates and unrelated records made of generated news and of what installed packages say of themselves."""

from __future__ import annotations

import html
import random
import re
import tempfile
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.duplicates.news import Writer

from tunesmith.runs.manifest import DedupFields
from tunesmith.split.dedup_keys import KeyBuilder
from tunesmith.split.similar_texts import Alike, AlikeBuilder

Pair = tuple[str, str]
NEAR = 0.85
"""The default of `data.leaks.near`."""


def alike_among(texts: Iterable[str], near: float = NEAR) -> Alike:
    """Which of the texts look alike, as `prepare` finds it."""
    keys = KeyBuilder(DedupFields(("text",), required=True))
    with tempfile.TemporaryDirectory() as folder:
        builder = AlikeBuilder(Path(folder) / "alike", near)
        for number, text in enumerate(texts):
            builder.add(number, *keys.add(f"t:{number}", "0" * 64, {"text": text}))
        return builder.similar_texts(keys.keys(), lambda what, done: None)


@dataclass
class Maker:
    """Makes pairs of texts that are duplicates of one another, or that are not."""

    writer: Writer
    chance: random.Random

    def edited(self, text: str, times: int) -> str:
        """The text with some words replaced."""
        words = text.split()
        for at in self.chance.sample(range(len(words)), times):
            words[at] = self.writer.word_but(words[at])
        return " ".join(words)

    def changed(self, length: int, times: int) -> Pair:
        text = self.writer.text(length)
        return text, self.edited(text, times)

    def deleted(self, length: int) -> Pair:
        text = self.writer.text(length)
        words = text.split()
        del words[self.chance.randrange(length)]
        return text, " ".join(words)

    def added(self, length: int) -> Pair:
        text, more = self.writer.text(length), self.writer.text(10)
        return text, self.chance.choice([f"{text} {more}", f"{more} {text}"])

    def truncated(self, length: int, share: float) -> Pair:
        text = self.writer.text(length)
        return text, text[: round(len(text) * share)]

    def shuffled(self, sentences: int, length: int) -> Pair:
        parts = [self.writer.text(length) for _ in range(sentences)]
        moved = parts.copy()
        while moved == parts:
            self.chance.shuffle(moved)
        return " ".join(parts), " ".join(moved)

    def typo(self, length: int) -> Pair:
        text = self.writer.text(length)
        at = self.chance.choice([at for at, letter in enumerate(text) if letter.isalpha()])
        return text, text[:at] + self.chance.choice("qxwk") + text[at + 1 :]

    def html(self, length: int) -> Pair:
        text = self.writer.text(length)
        words = html.escape(text.replace(" ", " & ", 1)).split()
        at = self.chance.randrange(1, len(words))
        words[at] = f"<b>{words[at]}</b>"
        middle = len(words) // 2
        marked = [*words[:middle], '<br/><a href="x.html">', *words[middle:], "</a>"]
        return text.replace(" ", " & ", 1), f'<p class="first">{" ".join(marked)}</p>'

    def accents(self, length: int) -> Pair:
        text = self.writer.text(length).translate(str.maketrans({"a": "á", "e": "é", "o": "ö"}))
        return text, "".join(
            one for one in unicodedata.normalize("NFD", text) if not unicodedata.combining(one)
        )

    def look_alikes(self, length: int) -> Pair:
        text = self.writer.text(length)
        places = [at for at, letter in enumerate(text) if letter in "aeop"]
        letters = list(text)
        for at in self.chance.sample(places, 5):
            letters[at] = dict(zip("aeop", "аеор", strict=True))[letters[at]]
        return text, "".join(letters)

    def han(self, length: int, times: int) -> Pair:
        letters = [chr(self.chance.randrange(0x4E00, 0x4E00 + 2000)) for _ in range(length)]
        text = "".join(letters)
        for at in self.chance.sample(range(length), times):
            letters[at] = chr(self.chance.randrange(0x4E00, 0x9000))
        return text, "".join(letters)

    def thai(self, length: int) -> Pair:
        letters = [chr(self.chance.randrange(0x0E01, 0x0E2F)) for _ in range(length)]
        text = "".join(letters)
        letters[self.chance.randrange(length)] = "\u0e2a"
        return text, "".join(letters)

    def half_width(self) -> Pair:
        text = "".join(chr(self.chance.randrange(0xFF71, 0xFF9D)) for _ in range(30))
        return unicodedata.normalize("NFKC", text), text

    def doubled_in_template(self, words: int, payload: int) -> Pair:
        text = self.writer.text(payload)
        prompt = self.writer.prompt(words)
        return f"{prompt} {text}", f"{prompt} {self.edited(text, 1)}"

    def renamed(self) -> Pair:
        names = self.chance.sample(self.writer.words, 8)
        others = [f"{name}_x" for name in self.chance.sample(self.writer.words, 8)]
        code = self.code()
        return code.format(*names), code.format(*others)

    def code(self) -> str:
        """Four functions; names as places of `format`."""
        operator = [self.chance.choice("+-*%") for _ in range(8)]
        number = [self.chance.randrange(2, 500) for _ in range(8)]
        lines = [
            "def {0}({1}, {2}):",
            f"    {{3}} = {{1}} {operator[0]} {number[0]}",
            f"    return {{3}} {operator[1]} {{2}}",
            "",
            "def {4}({1}):",
            f"    for {{5}} in range({number[1]}):",
            f"        {{1}} {operator[2]}= {{5}}",
            "    return {1}",
            "",
            "def {6}({5}):",
            f"    return [{{0}}({{7}}, {number[2]}) for {{7}} in {{5}} if {{7}} {operator[3]} {number[3]}]",
            "",
            f"def {self.writer.word()}({{2}}):",
            f"    print('{self.writer.text(6)}', {{4}}({{2}}) {operator[4]} {number[4]})",
        ]
        return "\n".join(lines) + "\n"

    def indented(self) -> Pair:
        code = self.renamed()[0]
        return code, code.replace("    ", "\t").replace("\n\n", "\n")

    def operator(self) -> Pair:
        code = self.renamed()[0]
        at = [at for at, letter in enumerate(code) if letter in "+-*%" and code[at - 1] == " "]
        place = self.chance.choice(at)
        other = self.chance.choice([one for one in "+-*%" if one != code[place]])
        return code, code[:place] + other + code[place + 1 :]

    def numbers(self, length: int) -> Pair:
        listed = [str(self.chance.randrange(10_000)) for _ in range(length)]
        other = listed.copy()
        other[self.chance.randrange(length)] = str(self.chance.randrange(10_000, 20_000))
        return ", ".join(listed), ", ".join(other)

    def signs(self) -> Pair:
        listed = [f"{self.chance.choice(['', '-'])}{self.chance.uniform(0, 99):.2f}" for _ in range(20)]
        other = listed.copy()
        at = self.chance.randrange(20)
        other[at] = other[at][1:] if other[at].startswith("-") else f"-{other[at]}"
        return " ".join(listed), " ".join(other)

    def arithmetic(self, one: str, other: str) -> Pair:
        left, right = self.chance.randrange(10**6), self.chance.randrange(10**6)
        text = f"What is {left} {{}} {right} when you work it out step by step?"
        return text.format(one), text.format(other)

    def language(self) -> Pair:
        text = f"{self.writer.text(6)} in {{}} {self.writer.text(5)}"
        return text.format("C"), text.format("C#")

    def asked_or_said(self) -> Pair:
        text = self.writer.text(6).rstrip(".")
        return f"{text}?", f"{text}."

    def quoted(self, length: int) -> Pair:
        text = self.writer.text(length)
        return f'"{text}" - so', f"\u201c{text}\u201d \u2014 so"

    def same(self, length: int, change: Callable[[str], str]) -> Pair:
        text = self.writer.text(length)
        return text, change(text)


def _plain(text: str) -> str:
    return re.sub(r"[.,](?= |$)", "", text).replace(" ", " \t\n")


def _wide(text: str) -> str:
    return "".join(chr(ord(one) + 0xFEE0) if "!" <= one <= "~" else one for one in text)


def _invisible(text: str) -> str:
    return text.replace(" ", "\u00a0", 3).replace("a", "a\u00ad", 2)


def kinds(make: Maker) -> tuple[dict[str, Callable[[], Pair]], dict[str, Callable[[], Pair]]]:
    """What makes a pair of each kind: of duplicates, and of texts that differ though little of them does."""
    alike = {
        "exact copy": lambda: make.same(40, str),
        "upper case": lambda: make.same(40, str.upper),
        "no punctuation, other white space": lambda: make.same(40, _plain),
        "full width": lambda: make.same(40, _wide),
        "invisible characters": lambda: make.same(40, _invisible),
        "quotes and dashes": lambda: make.quoted(40),
        "HTML tags and entities, 40 words": lambda: make.html(40),
        "HTML tags and entities, 12 words": lambda: make.html(12),
        "accents left out": lambda: make.accents(40),
        "5 Cyrillic letters": lambda: make.look_alikes(40),
        "'Question: ' put before": lambda: make.same(40, lambda text: f"Question: {text}"),
        "1 word of 8 changed": lambda: make.changed(8, 1),
        "typo in one letter, 8 words": lambda: make.typo(8),
        "1 word of 12 changed": lambda: make.changed(12, 1),
        "1 word of 20 changed": lambda: make.changed(20, 1),
        "1 word of 30 changed": lambda: make.changed(30, 1),
        "1 word of 40 changed": lambda: make.changed(40, 1),
        "2 words of 60 changed": lambda: make.changed(60, 2),
        "3 words of 100 changed": lambda: make.changed(100, 3),
        "1 word of 30 deleted": lambda: make.deleted(30),
        "sentence of 10 words added to 60": lambda: make.added(60),
        "sentence of 10 words added to 100": lambda: make.added(100),
        "truncated to 95 %": lambda: make.truncated(100, 0.95),
        "truncated to 80 %": lambda: make.truncated(100, 0.8),
        "truncated to half, 100 words": lambda: make.truncated(100, 0.5),
        "truncated to half, 30 words": lambda: make.truncated(30, 0.5),
        "4 paragraphs of 30 words shuffled": lambda: make.shuffled(4, 30),
        "6 sentences of 10 words shuffled": lambda: make.shuffled(6, 10),
        "4 words, case and full stop": lambda: make.same(4, lambda text: text.upper().rstrip(".")),
        "Chinese, 1 character of 40 changed": lambda: make.han(40, 1),
        "Chinese, 3 characters of 100 changed": lambda: make.han(100, 3),
        "Chinese, spaces put between": lambda: (lambda text: (text, " ".join(text)))(make.han(40, 0)[0]),
        "Thai, 1 character of 60 changed": lambda: make.thai(60),
        "Japanese, half width": make.half_width,
        "code, white space changed": make.indented,
        "code, names changed": make.renamed,
        "1 word of 30 changed behind a common prompt of 100": lambda: make.doubled_in_template(100, 30),
        "1 word of 10 changed behind a common prompt of 100": lambda: make.doubled_in_template(100, 10),
    }  # fmt: skip
    others = {
        "4 words, one changed": lambda: make.changed(4, 1),
        "1 number of 30 changed": lambda: make.numbers(30),
        "1 number of 60 changed": lambda: make.numbers(60),
        "1 sign of 20 numbers changed": make.signs,
        "12 * 3 and 12 - 3": lambda: make.arithmetic("*", "-"),
        "12 % 3 and 12 / 3": lambda: make.arithmetic("%", "/"),
        "one operator of four functions changed": make.operator,
        "C and C#": make.language,
        "question and statement": make.asked_or_said,
    }
    return alike, others


def unrelated(make: Maker) -> dict[str, Callable[[], str]]:
    """What makes one of many texts that have nothing to do with one another, or only their form."""
    writer = make.writer
    return {
        "news, 40 words": lambda: writer.text(40),
        "short, 8 words": lambda: writer.text(8),
        "short, 5 words": lambda: writer.text(5),
        "common prompt of 120 words, 5 words behind it": lambda: writer.prompted(120, 5),
        "common prompt of 40 words, 5 words behind it": lambda: writer.prompted(40, 5),
        "common prompt of 80 words, 40 words behind it": lambda: writer.prompted(80, 40),
        "one form, filled in": writer.form,
        "one letter, three words of it other ones": writer.letter,
        "short questions of few kinds": writer.question,
        "Chinese, 60 characters": lambda: make.han(60, 0)[0],
        "Thai, 40 characters": lambda: make.thai(40)[0],
        "30 numbers": lambda: make.numbers(30)[0],
        "arithmetic": lambda: make.arithmetic("*", "-")[0],
        "programs of one shape": lambda: make.renamed()[0],
    }


def table(num_records: int, num_pairs: int, seed: int) -> str:
    """Markdown: of each kind of pair the share that is taken for a duplicate, and of each kind of unrelated texts the
    share that is."""
    chance = random.Random(seed)
    make = Maker(Writer(chance), chance)
    alike, others = kinds(make)
    texts, kind_of, partner = [], [], {}
    for kind, pair in {**alike, **others}.items():
        for _ in range(num_pairs):
            partner |= {len(texts): len(texts) + 1, len(texts) + 1: len(texts)}
            texts += pair()
            kind_of += [kind] * 2
    makers = unrelated(make)
    for kind, text in makers.items():
        # A dictionary, for two of them that are equal by chance are no false alarm.
        different: dict[str, None] = {}
        while len(different) < num_records // len(makers):
            different.setdefault(text())
        texts += different
        kind_of += [kind] * len(different)
    found, wrong = _count(alike_among(texts), kind_of, partner)
    lines = [f"{len(texts):,} texts, seed {seed}", "", "| duplicates | found |", "|---|---|"]
    lines += [f"| {kind} | {found[kind] / num_pairs:.1%} |" for kind in alike]
    lines += ["", "| other questions | taken for duplicates |", "|---|---|"]
    lines += [f"| {kind} | {found[kind] / num_pairs:.1%} |" for kind in others]
    lines += ["", "| unrelated | taken for a duplicate |", "|---|---|"]
    lines += [f"| {kind} | {wrong[kind]:,} of {kind_of.count(kind):,} |" for kind in makers]
    lines.append(
        f"| the pairs above, for one of another pair | {sum(wrong[one] for one in (*alike, *others)):,} |"
    )
    return "\n".join(lines)


def _count(alike: Alike, kind_of: list[str], partner: dict[int, int]) -> tuple[Counter[str], Counter[str]]:
    """By kind, how many pairs were found, and how many texts were taken for one that is not their partner."""
    found: Counter[str] = Counter()
    members: dict[int, list[int]] = {}
    for number, text in enumerate(alike.text.tolist()):
        members.setdefault(text, []).append(number)
    groups = [(one, one) for one in members.values()]
    groups += [(members[one], members[other]) for one, other in alike.pairs.tolist()]
    hit = set()
    for ones, others in groups:
        for one in ones:
            for other in others:
                if (partner.get(one) == other and one < other) or (
                    partner.get(other) == one and other < one and ones is not others
                ):
                    found[kind_of[one]] += 1
                elif one != other and partner.get(one) != other:
                    hit |= {one, other}
    return found, Counter(kind_of[number] for number in hit)


def time_table(num_records: int) -> str:
    """Markdown: time and memory of `prepare` on news, measured in a process of its own."""
    from benchmarks.split import measure

    with tempfile.TemporaryDirectory() as folder:
        got = measure("ours", "news", num_records, Path(folder))
    return (
        "| news | seconds | CPU seconds | peak GiB | found |\n|---|---|---|---|---|\n"
        f"| {num_records:,} | {got['seconds']:.1f} | {got['cpu']:.1f} | {got['gib']:.2f} | {got['found']} |"
    )
