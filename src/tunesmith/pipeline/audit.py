"""The audit of an experiment's training side."""

from __future__ import annotations

from rich.progress import track

from tunesmith.data.sampling import fixed_sample
from tunesmith.pipeline.steps import Steps
from tunesmith.plan.audit import Audit, audit_characters, audit_tokens


def audit(steps: Steps, characters: bool, max_samples: int | None, limit: int | None) -> Audit:
    """Lengths over the training records, or over a fixed sample of them; no weights are loaded."""
    task = steps.experiment.task
    records = fixed_sample(steps.prepared.records("train"), max_samples, steps.experiment.seed)
    shown = track(records, description="measuring", total=len(records), transient=True)
    conversations = (task.conversation(record, steps.shots) for record in shown)
    if characters:
        return audit_characters(conversations, limit)
    return audit_tokens(steps.render(steps.experiment.stages[0]), conversations, limit, steps.family.sight)
