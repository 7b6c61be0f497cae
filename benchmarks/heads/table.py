"""Accuracy, macro F1 and the worst class of every variant of an experiment, with its 95 % intervals, as Markdown.

python benchmarks/heads/table.py RUNS
"""

from __future__ import annotations

import sys
from pathlib import Path

from tunesmith.evaluate.scores import Score, Scores
from tunesmith.report.run_folder import read_run_folder


def share(score: Score) -> str:
    """`61.2 (58.0 to 64.4)`."""
    return f"{100 * score.value:.1f} ({100 * score.low:.1f} to {100 * score.high:.1f})"


def row(name: str, scores: Scores) -> str:
    """One line of the table."""
    classes = {name: score for name, score in scores.metrics.items() if name.startswith("recall/")}
    worst = min(classes, key=lambda name: classes[name].value)
    whole = " | ".join(share(scores.metrics[metric]) for metric in ("accuracy", "f1_macro"))
    return f"| {name} | {whole} | {share(classes[worst])} {worst.partition('/')[2]} |"


def main() -> None:
    folders = sorted(path.parent for path in Path(sys.argv[1]).glob("*/run.json"))
    runs = [read_run_folder(folder) for folder in folders]
    print("| | accuracy, % | macro F1, % | worst class, % |\n|---|---|---|---|")
    base = next(run.base for run in runs if run.base is not None)
    labels = base.scores.labels or ()
    print(f"| chance | {100 / len(labels):.1f} | | |")
    print(row("zero-shot", base.scores))
    for run in runs:
        if run.tuned is not None:
            print(row(run.run.variant, run.tuned.scores))


if __name__ == "__main__":
    main()
