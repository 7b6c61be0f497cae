"""The audit of an experiment's training side."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.progress import track

from tunesmith.audit.lengths import audit_characters, audit_lines, audit_tokens
from tunesmith.forecast.outlook import Outlook
from tunesmith.pipeline.steps import Steps
from tunesmith.records.conversation import Conversation
from tunesmith.records.sampling import fixed_sample
from tunesmith.runs.audit import AUDIT, Audit
from tunesmith.train.examples import Examples


def audit(
    steps: Steps,
    characters: bool,
    max_samples: int | None,
    limit: int | None,
    examples: Examples | None = None,
) -> Audit:
    """Lengths over the training records, or over a fixed sample of them; no weights are loaded. `examples` are theirs,
    if they have been made already."""
    if characters:
        return audit_characters(_conversations(steps, max_samples), limit)
    found = audited_examples(steps, max_samples) if examples is None else examples
    return audit_tokens(found, limit, steps.family.image_processor)


def audited_examples(steps: Steps, max_samples: int | None) -> Examples:
    """What the first stage makes of the training records, or of a fixed sample of them; none is refused."""
    render = steps.render(steps.experiment.stages[0])
    return Examples(render(_conversations(steps, max_samples)))


def as_json(lengths: Audit, outlook: Outlook | None) -> dict[str, Any]:
    """Lengths and the forecast, if there is one, as plain values for programs."""
    values: dict[str, Any] = AUDIT.to_json(lengths)
    return values if outlook is None else values | {"outlook": outlook.to_json()}


def lines(lengths: Audit, outlook: Outlook | None) -> list[str]:
    """Lengths and the forecast, if there is one, as text."""
    return [*audit_lines(lengths), *(outlook.lines() if outlook is not None else [])]


def _conversations(steps: Steps, max_samples: int | None) -> Iterator[Conversation]:
    task = steps.task
    records = fixed_sample(steps.prepared.records("train"), max_samples, steps.experiment.seed)
    shown = track(records, description="measuring", total=len(records), transient=True)
    return (task.conversation(record, steps.shots) for record in shown)
