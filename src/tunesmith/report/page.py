"""One run as one page: a single HTML file that needs no network, no script and no font from elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from tunesmith.errors import counted
from tunesmith.files import whole_file
from tunesmith.report import summary, words
from tunesmith.report.charts import Plot, Series, histogram, line_plot
from tunesmith.report.classes import baselines, class_curves, size_plot, size_rows
from tunesmith.report.confusion import maps, matrices
from tunesmith.report.curves import other_curves, training_curves
from tunesmith.report.examples import example_groups, reliability
from tunesmith.report.external import external_rows
from tunesmith.report.overlap import overlap_plots
from tunesmith.report.pictures import Album, views_of
from tunesmith.report.run_folder import RunView, read_run_folder
from tunesmith.runs.audit import Audit

_MOST_MISTAKES, _MOST_MISTAKES_BESIDE_MAP = 8, 15


def write_report(run_folder: Path) -> Path:
    """Path of the `report.html` that was written into the run folder. DataError if a file in it is broken."""
    run = read_run_folder(run_folder)
    return write_page("report.html.jinja", run_folder / "report.html", run=run, **_evidence(run))


def write_reports_with(predictions: Path) -> list[Path]:
    """Paths of the rewritten pages: those of the runs next to a folder of predictions that show it."""
    key = predictions.name.rpartition("-")[2]
    runs = [file.parent for file in sorted(predictions.parent.glob("*/run.json"))]
    return [
        write_report(run)
        for run in runs
        if read_run_folder(run).run.asked == key and (run / "report.html").exists()
    ]


def write_page(template: str, path: Path, **values: Any) -> Path:
    """The path, once the page is completely written."""
    page = _templates().get_template(template).render(**values)
    with whole_file(path) as temporary:
        temporary.write_text(page, encoding="utf-8", errors="replace")
    return path


@cache
def _templates() -> Environment:
    environment = Environment(
        loader=PackageLoader("tunesmith.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {"counted": counted, "words": words, "zip": zip}
    return environment


def _evidence(run: RunView) -> dict[str, Any]:
    """What the page's template shows, computed."""
    class_metrics, classes = summary.class_rows(run)
    examples, album = example_groups(run), Album()
    mapped = maps(run)
    return {
        "headline": summary.headline(run),
        "metrics": summary.metric_rows(run),
        "units": summary.units(run),
        "external": external_rows(run),
        "worse": summary.worse(run),
        "perhaps_worse": summary.perhaps_worse(run),
        "worse_alone": summary.worse_alone(run),
        "unread": summary.unread(run),
        "calibration": summary.calibration(run),
        "cut": summary.cut(run),
        "class_metrics": class_metrics,
        "classes": classes,
        "sizes": size_rows(run),
        "size_plot": size_plot(run),
        "class_curves": class_curves(run),
        "baselines": list(baselines(run)),
        "group_tables": summary.group_tables(run),
        "matrices": matrices(run),
        "maps": mapped,
        "mistakes": summary.common_mistakes(run, _MOST_MISTAKES_BESIDE_MAP if mapped else _MOST_MISTAKES),
        "curves": training_curves(run.stages, summary.primary(run)),
        "other_curves": other_curves(run.stages, summary.primary(run)),
        "reliability": reliability_plot(run),
        "overlap": overlap_plots(run),
        "lengths": length_plot(run.audit) if run.audit else None,
        "audit_pairs": list(audit_pairs(run.audit)) if run.audit else [],
        "examples": examples,
        "views": views_of(examples, album),
        "album": album,
        "facts": summary.facts(run),
        "environment": environment_pairs(run),
        "lineage": [list(flat(asdict(entry))) for entry in run.lineage],
    }


def reliability_plot(run: RunView) -> Plot | None:
    """Share right against probability of the likeliest class; on the diagonal a model is as sure as right."""
    series = [
        Series(name, [(each.probability, each.right) for each in bins], name, markers=True)
        for name, evaluated in (("base", run.base), ("tuned", run.tuned))
        if (bins := reliability(evaluated))
    ]
    if not series:
        return None
    ideal = Series("as sure as right", [(0.0, 0.0), (1.0, 1.0)], "ideal")
    return line_plot(
        "Reliability diagram: accuracy by predicted probability",
        [ideal, *series],
        lambda value: f"{value:.0%}",
        x_title="probability",
        legend=True,
    )


def length_plot(audit: Audit) -> Plot:
    """Lengths of all examples, with the median, the 95th percentile and the limit."""
    marks = [(audit.lengths[name], name) for name in ("p50", "p95") if name in audit.lengths]
    if audit.limit is not None and audit.limit <= 2 * audit.histogram.edges[-1]:
        marks.append((float(audit.limit), "limit"))
    return histogram(
        f"Lengths of {counted(audit.samples, 'example')}",
        audit.histogram.edges,
        audit.histogram.counts,
        marks,
        x_title=audit.mode,
    )


def audit_pairs(audit: Audit) -> Iterator[tuple[str, str]]:
    """The audit's numbers as name and text."""
    for name, value in audit.lengths.items():
        yield name, words.count(value)
    if audit.picture_tokens is not None:
        seen = audit.picture_tokens
        yield "pictures in an example", f"{seen.per_example:.3g}"
        yield "mean of picture tokens", words.count(seen.mean)
        yield "most picture tokens", words.count(seen.max)
        yield "share of picture tokens", words.number(seen.share, "share")
    if audit.trained_share is not None:
        yield "share of trained tokens", words.number(audit.trained_share, "share")
    for name, number in (
        ("limit", audit.limit),
        ("over the limit", audit.over_limit),
        ("recommended limit", audit.recommended),
    ):
        if number is not None:
            yield name, words.count(number)


def environment_pairs(run: RunView) -> list[tuple[str, str]]:
    """Name and text of everything that is known about the run's environment."""
    known = {} if run.environment is None else asdict(run.environment)
    return [(name, text) for name, text in flat(known) if text]


def flat(value: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    """The leaves of nested JSON as (dotted path, text)."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from flat(inner, f"{prefix}.{key}" if prefix else str(key))
    elif isinstance(value, list | tuple) and any(isinstance(inner, Mapping) for inner in value):
        for index, inner in enumerate(value):
            yield from flat(inner, f"{prefix}.{index}")
    elif isinstance(value, list | tuple):
        yield prefix, ", ".join(map(str, value))
    else:
        yield prefix, "" if value is None else str(value)
