"""The audit of an experiment's training side."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.progress import track

from tunesmith.audit.lengths import audit_characters, audit_lines, audit_tokens
from tunesmith.forecast.outlook import Outlook
from tunesmith.pipeline.context import RunContext
from tunesmith.records.conversation import Conversation
from tunesmith.records.sampling import fixed_sample
from tunesmith.runs.audit import AUDIT, Audit
from tunesmith.train.examples import Examples, renderer


def audit(
    run: RunContext,
    characters: bool,
    max_samples: int | None,
    limit: int | None,
    examples: Examples | None = None,
) -> Audit:
    """Lengths over the training records, or over a fixed sample of them; no weights are loaded. `examples` are theirs,
    if they have been made already."""
    if characters:
        return audit_characters(_conversations(run, max_samples), limit)
    if examples is None:
        examples = audited_examples(run, max_samples)
    return audit_tokens(examples, limit, run.family.image_processor)


def audited_examples(run: RunContext, max_samples: int | None) -> Examples:
    """What the first stage makes of the training records, or of a fixed sample of them; none is refused."""
    render = renderer(run.family, run.experiment.task, run.experiment.stages[0].loss_on)
    return Examples(render(_conversations(run, max_samples)))


def as_json(lengths: Audit, outlook: Outlook | None) -> dict[str, Any]:
    """Lengths and the forecast, if there is one, as plain values for programs."""
    values: dict[str, Any] = AUDIT.to_json(lengths)
    return values if outlook is None else values | {"outlook": outlook.to_json()}


def lines(lengths: Audit, outlook: Outlook | None) -> list[str]:
    """Lengths and the forecast, if there is one, as text."""
    return [*audit_lines(lengths), *(outlook.lines() if outlook is not None else [])]


def _conversations(run: RunContext, max_samples: int | None) -> Iterator[Conversation]:
    task = run.task
    records = fixed_sample(run.prepared.records("train"), max_samples, run.experiment.seed)
    shown = track(records, description="measuring", total=len(records), transient=True)
    return (task.conversation(record, run.shots) for record in shown)
