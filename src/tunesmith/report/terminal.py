"""A run, or many, in the terminal: the same headline and the same table as on the page."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tunesmith.evaluate.changes import Verdict
from tunesmith.evaluate.scores import Score, read_scores
from tunesmith.report import summary, words
from tunesmith.report.compare import Compared
from tunesmith.report.run_folder import read_run_folder

_STYLES = {"better": ("▲", "green"), "worse": ("▼", "red")}


def print_summary(run_folder: Path, console: Console) -> None:
    """Print what a run came to: headline, metrics of base and tuned, what got worse, what is missing."""
    run = read_run_folder(run_folder)
    found = summary.headline(run)
    console.print()
    console.print(f"{run.name}: {run.path}", highlight=False, markup=False, soft_wrap=True)
    console.print(Text(found.text, style="bold"))
    if rows := summary.metric_rows(run):
        table = _table("", "base", "tuned", "change (95 % interval)", "verdict")
        for row in rows:
            unit, change = row.measure.unit, row.change
            shown = (
                (words.change_with_interval(change, unit), verdict_text(change.verdict))
                if change
                else ("", "")
            )
            table.add_row(Text(row.title), _value(row.base), _value(row.tuned), *shown)
        console.print(table)
    for line in summary.worse(run):
        console.print(Text(f"Worse: {line}", style="red"))
    if perhaps := summary.perhaps_worse(run):
        console.print(Text(f"Perhaps worse (one in ten is named by chance): {'; '.join(perhaps)}"))
    if unread := summary.unread(run):
        console.print(Text(f"Could not be read: {'; '.join(unread)}"))
    if cut := summary.cut(run):
        console.print(Text(f"Cut at the maximum length: {'; '.join(cut)}", style="yellow"))
    for line in run.missing:
        console.print(Text(line, style="yellow"))


def print_scores(folder: Path, console: Console) -> None:
    """Print what one evaluation came to: its folder, and every metric of all records."""
    scores = read_scores(folder)
    console.print(f"{scores.evaluation}: {folder}", highlight=False, markup=False, soft_wrap=True)
    table = _table("", scores.evaluation)
    for name in sorted(scores.metrics, key=lambda name: name != scores.primary):
        if "/" not in name:
            table.add_row(Text(words.title(name)), _measure(scores.metrics[name]))
    console.print(table)
    if scores.cut:
        cut = f"{words.count(scores.cut)} of {words.count(scores.records)}"
        console.print(Text(f"Cut at the maximum length: {cut}", style="yellow"))


def print_comparison(compared: Compared, console: Console) -> None:
    """Print the primary metric and the cost of many runs, and their pairs; the page has all metrics."""
    console.print()
    console.print(Text(compared.headline, style="bold"))
    table = _table("", words.title(compared.primary), *compared.facts)
    for entry in compared.entries:
        facts = [entry.facts.get(fact, "") for fact in compared.facts]
        table.add_row(Text(entry.name), _measure(entry.measures.get(compared.primary)), *facts)
    console.print(table)
    for pair in compared.pairs:
        line = Text(f"{pair.second} against {pair.first}: {pair.shown} ")
        console.print(line.append(verdict_text(pair.change.verdict)))
    for notice in compared.notices:
        console.print(Text(notice, style="yellow"))


def verdict_text(verdict: Verdict) -> Text:
    """The verdict with its sign and colour."""
    sign, style = _STYLES.get(verdict, ("=", "dim"))
    return Text(f"{sign} {verdict}", style=style)


def _table(first: str, *columns: str) -> Table:
    table = Table(box=None, header_style="dim", pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column(first)
    for column in columns:
        table.add_column(column, justify="left" if column == "verdict" else "right")
    return table


def _value(measure: Score | None) -> str:
    return words.number(measure.value, measure.unit) if measure else ""


def _measure(measure: Score | None) -> str:
    if measure is None:
        return ""
    ends = words.interval(measure.low, measure.high, measure.unit)
    return words.number(measure.value, measure.unit) + (f" ({ends})" if ends else "")
