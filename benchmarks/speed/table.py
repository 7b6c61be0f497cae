"""Rows of figures, a JSON file and a plot."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.speed.compare import Row, group_of, is_peer
from benchmarks.speed.methods import METHODS

HEADER = (
    f"{'engine':<28}{'tokens/s':>10}{'samples/s':>10}{'ms':>8}{'spread':>14}{'peak GiB':>9}"
    f"{'of matrix':>10}{'idle':>6}{'launches':>9}{'loss':>9}{'took':>6}"
)


def completed(row: Row, counts: dict[str, int]) -> Row:
    """The measured row with rates, and its share of what the chip can do.

    A weight takes 2 operations a token in the forward pass, 2 for gradients of activations and 2 for its own, which a
    frozen one does without: 4 N with adapters, 6 N in full. The tower's weights count for patches, not for tokens.
    """
    work = row["workload_is"]
    tokens, patches = row["tokens"], row["patches"]
    flops = METHODS[row["method"]].products * (counts["language"] * tokens + counts["vision"] * patches)
    seconds = row["update_seconds"]
    rate = row["matrix_rate"]
    return row | {
        "tokens_a_second": tokens / seconds,
        "samples_a_second": work["samples"] / seconds,
        "flops_an_update": flops,
        "utilisation": flops / seconds / rate if rate else None,
    }


def line(row: Row) -> str:
    """One row in words."""
    if "error" in row:
        return f"{row['engine']:<28}{row['error'][:200]}"
    spread = f"{1000 * row['fastest']:.0f}-{1000 * row['slowest']:.0f}"
    few = "" if row["enough"] else f"  (only {len(row['seconds'])} updates)"
    return (
        f"{row['engine']:<28}{row['tokens_a_second']:>10,.0f}{row['samples_a_second']:>10.2f}"
        f"{1000 * row['update_seconds']:>8.1f}{spread:>14}{_or_dash(row['peak_gib'], '.1f'):>9}"
        f"{_or_dash(row['utilisation'], '.0%'):>10}{_or_dash(row['idle'], '.0%'):>6}"
        f"{_or_dash(row.get('num_kernels'), ','):>9}"
        f"{_or_dash(row['loss'], '.4f'):>9}{row['took']:>5.0f}s{few}"
    )


def versions(rows: Sequence[Row]) -> str:
    """Of all packages that took part, in one line."""
    found: dict[str, str] = {}
    for row in rows:
        found |= row.get("versions", {})
    return ", ".join(f"{name} {version}" for name, version in sorted(found.items()))


def read(file: Path) -> dict[str, Any]:
    """What `write` wrote; SystemExit with a sentence if it is no such file."""
    try:
        told = json.loads(file.read_text())
        return {"machine": told["machine"], "rows": told["rows"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no whole speed.json"
        raise SystemExit(
            f"{file}: cannot be read ({why}). It is what `python -m benchmarks.speed --out FOLDER` writes"
        ) from None


def write(folder: Path, machine: Row, rows: Sequence[Row]) -> None:
    """Put everything measured so far into `speed.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "speed.json").write_text(json.dumps({"machine": machine, "rows": list(rows)}, indent=1))


def plot(folder: Path, machine: Row, rows: Sequence[Row]) -> str:
    """Draw `speed.png` and `speed.svg`: bars of real tokens a second, one panel for each workload, method and model;
    what was done comes back in words."""
    done = [row for row in rows if "error" not in row]
    groups = list(dict.fromkeys(group_of(row) for row in done))
    if not groups:
        return "nothing to plot"
    try:
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot
    except ImportError:
        return "no plot: matplotlib is not installed"
    sizes = [sum(group_of(row) == group for row in done) for group in groups]
    figure, panels = pyplot.subplots(
        len(groups), 1, figsize=(9, 0.9 * len(groups) + 0.34 * sum(sizes)), height_ratios=sizes, squeeze=False
    )
    for panel, group in zip(panels[:, 0], groups, strict=True):
        members = [row for row in done if group_of(row) == group]
        bars = panel.barh(
            [row["engine"] for row in members],
            [row["tokens_a_second"] for row in members],
            color=[_colour(row) for row in members],
        )
        words = [f"{row['tokens_a_second']:,.0f}  {_or_dash(row['peak_gib'], '.1f')} GiB" for row in members]
        panel.bar_label(bars, words, padding=4, fontsize=8)
        panel.set_title(", ".join(group), fontsize=10, loc="left")
        panel.set_xlim(0, 1.3 * max(row["tokens_a_second"] for row in members))
        panel.invert_yaxis()
        panel.tick_params(labelsize=8)
        panel.spines[["top", "right"]].set_visible(False)
    panels[-1, 0].set_xlabel(f"real tokens a second on {machine['device']}, {machine['date']}", fontsize=8)
    figure.tight_layout()
    for ending in ("png", "svg"):
        figure.savefig(folder / f"speed.{ending}", dpi=150)
    pyplot.close(figure)
    return f"plot: {folder / 'speed.png'}"


def _colour(row: Row) -> str:
    if row["engine"].startswith("tunesmith"):
        return "#c2410c"
    return "#94a3b8" if is_peer(row) else "#fdba74"


def _or_dash(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
