"""The evaluation steps of a run: the base model, the tuned model, and their comparison."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tunesmith.config.experiment import Evaluate, Experiment
from tunesmith.errors import counted
from tunesmith.evaluate.compare import COMPARISON, compare
from tunesmith.evaluate.defaults import resolve_engine
from tunesmith.evaluate.evaluate import evaluate
from tunesmith.evaluate.resumable_rows import PARTIAL_ROWS
from tunesmith.evaluate.scores import SCORES, Scores
from tunesmith.files import SUMS, damage
from tunesmith.model.heads import refuse_lost_head
from tunesmith.model.load import load
from tunesmith.model.loaded import LoadedModel
from tunesmith.pipeline.context import RunContext
from tunesmith.pipeline.folder import at_work
from tunesmith.pipeline.keys import asked_settings, evaluation_key
from tunesmith.records.record import Record
from tunesmith.runs.run import EVALUATION_KEY
from tunesmith.train.observers._jsonl import log_event


def baseline(run: RunContext) -> Path:
    """Evaluate the base model on the test side unless that is done; returns the folder of its scores."""
    folder = run.base_folder
    with at_work(run.shared.lock(folder.name), wait=True):
        if not _is_evaluated(run, folder):
            run.say(f"baseline: the untouched model on {counted(len(run.test_records), 'held-out record')}")
            score_test(run, run.base_model, "base", folder)
    return folder


def evaluation(run: RunContext, result: Path, fingerprint: str) -> Path:
    """Evaluate what the last stage left (read back from disk) and compare it with the base; returns the folder.

    What is done already is not done again. An existing evaluation has the same settings, see `choose`.
    """
    folder = run.folder.evaluation
    if not EVALUATION_KEY.exists(folder):
        asked = asked_settings(run.experiment, run.prepared.certificate.checksum)
        EVALUATION_KEY.write(folder, evaluation_key(asked, fingerprint))
    if not _is_evaluated(run, folder):
        run.say(f"evaluate: the tuned model on the same {counted(len(run.test_records), 'held-out record')}")
        loaded = load(run.model, start=result)
        if run.experiment.task.head is not None:
            refuse_lost_head(loaded.head, result)
        score_test(run, loaded, "tuned", folder)
    if not COMPARISON.exists(folder):
        experiment = run.experiment
        compare(baseline(run), folder, experiment.task, experiment.evaluate, experiment.seed)
    return folder


def held_out_settings(experiment: Experiment) -> Evaluate:
    """How the test side is evaluated. Units are those of the split's group unless `evaluate.unit` names a field."""
    settings = experiment.evaluate
    return settings.model_copy(update={"unit": settings.unit or experiment.data.split.group})


def score_test(run: RunContext, loaded: LoadedModel, name: str, folder: Path) -> Scores:
    """The scores of a model on the test side, written to the folder."""
    return _score(run, loaded, name, run.test_records, held_out_settings(run.experiment), folder)


def score_validation(run: RunContext, loaded: LoadedModel, records: Sequence[Record]) -> Scores:
    """The scores of a model on validation records."""
    settings = run.experiment.evaluate.model_copy(update={"unit": None, "by": []})
    return _score(run, loaded, "validation", records, settings, None)


def _score(
    run: RunContext,
    loaded: LoadedModel,
    name: str,
    records: Sequence[Record],
    settings: Evaluate,
    folder: Path | None,
) -> Scores:
    """The scores of a model; truncated answers are counted in the output and in the log."""
    experiment = run.experiment
    # A model without a head cannot answer as one: the base model of such a task is asked in text.
    engine = resolve_engine(experiment.task, experiment.evaluate, untrained=loaded.head is None)
    scores = evaluate(
        loaded,
        run.task,
        engine,
        records,
        settings,
        folder=folder,
        name=name,
        shots=run.shots,
        seed=experiment.seed,
    )
    if scores.cut:
        run.say(
            f"cut: {scores.cut:,} of {counted(scores.records, 'answer')} ({name}) reached the maximum length "
            "(evaluate.engine.max_new_tokens) without an end token"
        )
        log_event(run.folder.log, "cut", evaluation=name, records=scores.records, cut=scores.cut)
    return scores


def _is_evaluated(run: RunContext, folder: Path) -> bool:
    """True if the folder holds an evaluation that was written to its end. A damaged one is deleted and reported."""
    if SCORES.exists(folder) and (fault := damage(folder)) is not None:
        run.say(f"{fault}. It is evaluated again")
        for name in (SCORES.name, "rows.jsonl", COMPARISON.name, SUMS):
            (folder / name).unlink(missing_ok=True)
    # Partial rows are deleted last: an evaluation that still has them stopped before its hashes were written.
    return SCORES.exists(folder) and not (folder / PARTIAL_ROWS).exists()
