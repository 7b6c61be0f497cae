"""Examples of a stage of a run, rendered once and kept as long as they are needed."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from rich.progress import track

from tunesmith.audit.lengths import audit_tokens
from tunesmith.config.experiment import Stage
from tunesmith.pipeline.context import RunContext
from tunesmith.pipeline.example_cache import cached_examples
from tunesmith.pipeline.stage_data import StageExamples, select_records, with_order
from tunesmith.records.record import Record
from tunesmith.runs.audit import AUDIT
from tunesmith.train.examples import Rendered, render_examples, renderer


def stage_examples(run: RunContext, stage: Stage) -> StageExamples:
    """The examples of the stage's records and the values that order them. They are kept in `run.examples`."""
    if stage.name not in run.examples:
        rendered = cached_examples(run, stage, partial(_rendered, run, stage))
        run.examples[stage.name] = with_order(stage, rendered, partial(stage_records, run, stage))
    return run.examples[stage.name]


def stage_records(run: RunContext, stage: Stage) -> Sequence[Record]:
    """The training records of a stage; DataError if none is left."""
    return select_records(stage, run.task, run.prepared.records("train"), run.shots, run.experiment.seed)


def write_audit(run: RunContext, rendered: Rendered) -> None:
    """Write the lengths of the first stage's examples to `audit.json`."""
    limit = run.experiment.data.length.max_tokens
    AUDIT.write(run.folder.path, audit_tokens(rendered.examples, limit, run.family.image_processor))


def _rendered(run: RunContext, stage: Stage) -> Rendered:
    records, task = stage_records(run, stage), run.task
    shown = track(records, description="rendering examples", total=len(records), transient=True)
    conversations = (task.conversation(record, run.shots) for record in shown)
    render = renderer(run.family, run.experiment.task, stage.loss_on)
    return render_examples(run.family, conversations, render, run.experiment.data.length)
