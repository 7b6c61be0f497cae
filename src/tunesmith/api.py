"""Every command as a Python function of the same name, for notebooks and programs.

    from tunesmith import api
    experiment = api.load_experiment("topics.yaml", variant="lora")
    api.audit(experiment)
    folder = api.run(experiment)

Functions that take an experiment take it as `load_experiment` returns it. `folder` is the folder that its data and
model may be named relative to, and `variant` the name of its run; both are known if it was read from a file.
Errors are ExperimentError, DataError and ModelError of `tunesmith.errors`, each with a message for the user.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunesmith.errors import ExperimentError

if TYPE_CHECKING:
    from rich.console import Console

    from tunesmith.config.experiment import Experiment
    from tunesmith.config.read import read_experiment as load_experiment
    from tunesmith.config.read import read_variants as load_variants
    from tunesmith.deploy.loading import load_result
    from tunesmith.deploy.merge import merge
    from tunesmith.deploy.predict import predict
    from tunesmith.doctor.machine import Finding
    from tunesmith.evaluate.external import compare_predictions, score_predictions
    from tunesmith.evaluate.scores import Scores
    from tunesmith.forecast.outlook import Outlook
    from tunesmith.model.load import load as load_model
    from tunesmith.pipeline.context import RunContext
    from tunesmith.pipeline.show import Shown
    from tunesmith.runs.audit import Audit
    from tunesmith.split.prepare import Prepared

__all__ = [
    "AuditResult",
    "EvaluationResult",
    "PredictionsResult",
    "audit",
    "compare",
    "compare_predictions",
    "doctor",
    "evaluate",
    "evaluate_predictions",
    "load_experiment",
    "load_model",
    "load_result",
    "load_variants",
    "merge",
    "predict",
    "prepare",
    "report",
    "run",
    "run_variants",
    "schema",
    "score_predictions",
    "show",
    "train",
]

Say = Callable[[str], None]

_DEFINED_IN = {
    "compare_predictions": ("tunesmith.evaluate.external", "compare_predictions"),
    "load_experiment": ("tunesmith.config.read", "read_experiment"),
    "load_model": ("tunesmith.model.load", "load"),
    "load_result": ("tunesmith.deploy.loading", "load_result"),
    "load_variants": ("tunesmith.config.read", "read_variants"),
    "merge": ("tunesmith.deploy.merge", "merge"),
    "predict": ("tunesmith.deploy.predict", "predict"),
    "score_predictions": ("tunesmith.evaluate.external", "score_predictions"),
}


def __getattr__(name: str) -> Any:
    """Functions that are defined elsewhere are imported at first use, so that importing this module costs nothing."""
    if name not in _DEFINED_IN:
        raise AttributeError(f"module 'tunesmith.api' has no attribute {name!r}")
    module, attribute = _DEFINED_IN[name]
    return vars(import_module(module))[attribute]


@dataclass(frozen=True)
class AuditResult:
    """Lengths of the training examples and, unless left out, the forecast of memory and time."""

    lengths: Audit
    forecast: Outlook | None

    def lines(self) -> list[str]:
        """The lines that `tunesmith audit` prints."""
        from tunesmith.pipeline.audit import lines

        return lines(self.lengths, self.forecast)

    def to_json(self) -> dict[str, Any]:
        """The same as plain values."""
        from tunesmith.pipeline.audit import as_json

        return as_json(self.lengths, self.forecast)


@dataclass(frozen=True)
class EvaluationResult:
    """Folders with the rows and scores of the base model and of the tuned one, if it was evaluated."""

    base: Path
    tuned: Path | None
    run: Path | None
    """The run folder, if there is a tuned model."""


@dataclass(frozen=True)
class PredictionsResult:
    """Scores of predictions of another model or program."""

    folder: Path
    scores: Scores
    pages: list[Path]
    """Reports that were rewritten, because they show these predictions."""


def prepare(
    experiment: Experiment,
    folder: Path | None = None,
    variant: str | None = None,
    *,
    held_out: Path | None = None,
    say: Say = print,
) -> Prepared:
    """The records and their split, read, checked for leaks and written down with a certificate.

    With `held_out`, the held-out records are written there as JSON lines, for another model to answer.
    """
    context = _context(experiment, folder, variant, say)
    prepared = context.prepared
    if held_out is not None:
        from tunesmith.pipeline.predictions import write_held_out

        say(f"{held_out}: {write_held_out(context, held_out):,} held-out records")
    return prepared


def audit(
    experiment: Experiment,
    folder: Path | None = None,
    variant: str | None = None,
    *,
    characters: bool = False,
    max_samples: int | None = None,
    limit: int | None = None,
    memory: str | None = None,
    forecast: bool = True,
    say: Say = print,
) -> AuditResult:
    """Lengths of the training examples, and what training will take in memory and time; no weights are loaded.

    With `characters`, characters are counted instead of tokens, and nothing is forecast. `max_samples` is the number of
    training records to look at, `limit` a length in tokens whose effect is counted, and `memory` what must fit, such
    as `24GiB` (by default the memory of this machine's GPU).
    """
    from tunesmith.pipeline.audit import audit as measure
    from tunesmith.pipeline.audit import audited_examples
    from tunesmith.pipeline.outlook import asked_gib, outlook

    gib = asked_gib(memory, characters, forecast)
    context = _context(experiment, folder, variant, say)
    # The experiment's own limit counts tokens, so it does not apply to characters.
    limit = limit or (None if characters else experiment.data.length.max_tokens)
    examples = None if characters else audited_examples(context, max_samples)
    lengths = measure(context, characters, max_samples, limit, examples)
    if not forecast or examples is None:
        return AuditResult(lengths, None)
    return AuditResult(lengths, outlook(context, examples, gib, len(context.prepared.records("train"))))


def show(
    experiment: Experiment,
    folder: Path | None = None,
    variant: str | None = None,
    *,
    examples: int = 3,
    output: Path | None = None,
    say: Say = print,
) -> list[Shown]:
    """A few training examples as the model sees them, with the trained tokens marked and the pictures drawn.

    Drawings are written to `output`, by default to the folder `show` of the run.
    """
    from tunesmith.pipeline.show import rendered_examples

    shown = list(rendered_examples(_context(experiment, folder, variant, say), examples, output))
    for picture in (picture for example in shown for picture in example.pictures):
        picture.draw()
    return shown


def train(
    experiment: Experiment,
    folder: Path | None = None,
    variant: str | None = None,
    *,
    terminal: Console | None = None,
) -> Path:
    """Train every stage, without baseline and evaluation, and return the folder of the last stage.

    Stages that are done and unchanged are not trained again, and an interrupted one continues where it was.
    """
    from rich.console import Console

    from tunesmith.pipeline.claim import claimed
    from tunesmith.pipeline.preflight import check
    from tunesmith.pipeline.stage import train as train_stages

    terminal = terminal or Console()
    context = _context(experiment, folder, variant, _on(terminal))
    check(context)
    with claimed(context):
        return train_stages(context, terminal).folder


def evaluate(
    experiment: Experiment,
    folder: Path | None = None,
    variant: str | None = None,
    *,
    base_only: bool = False,
    terminal: Console | None = None,
) -> EvaluationResult:
    """Score the base model and what training left on the held-out records, and compare them.

    ExperimentError if a stage is not trained yet; `base_only` needs no training.
    """
    from rich.console import Console

    from tunesmith.pipeline.claim import claimed
    from tunesmith.pipeline.evaluation import baseline, evaluation
    from tunesmith.pipeline.preflight import check, check_settings
    from tunesmith.pipeline.resume import training_result
    from tunesmith.pipeline.stage import train as train_stages

    terminal = terminal or Console()
    context = _context(experiment, folder, variant, _on(terminal))
    check_settings(context)
    if base_only:
        return EvaluationResult(baseline(context), None, None)
    # Checked first: the rest may take long, and an untrained stage should be reported at once.
    training_result(context)
    check(context)
    with claimed(context) as run_folder:
        trained = train_stages(context, terminal)
        base = baseline(context)
        return EvaluationResult(
            base, evaluation(context, trained.folder, trained.fingerprint), run_folder.path
        )


def evaluate_predictions(
    experiment: Experiment,
    predictions: Path,
    name: str,
    folder: Path | None = None,
    variant: str | None = None,
    *,
    say: Say = print,
) -> PredictionsResult:
    """Score another model's answers to the held-out records, and add them as a row to the reports.

    `predictions` are JSON lines with `id` and `answer`; `name` is what the reports call them.
    """
    from tunesmith.pipeline.predictions import evaluate_predictions as score
    from tunesmith.report.page import write_reports_with

    scored, scores = score(_context(experiment, folder, variant, say), predictions, name)
    return PredictionsResult(scored, scores, write_reports_with(scored))


def run(
    experiment: Experiment,
    folder: Path | None = None,
    variant: str | None = None,
    terminal: Console | None = None,
) -> Path:
    """Prepare, baseline, train, evaluate and report; return the run folder.

    What is done and unchanged is not done again, an interrupted run continues where it was, and changed settings make
    a new run next to the old one.
    """
    from tunesmith.pipeline.run import run as run_steps

    return run_steps(experiment, *_place(experiment, folder, variant), terminal)


def run_variants(
    variants: Mapping[str, Experiment], folder: Path | None = None, terminal: Console | None = None
) -> list[Path]:
    """Run every variant, as `load_variants` returns them, compare them, and return their run folders.

    If one fails, the others are run all the same; then the error lists all failures by variant.
    """
    from rich.console import Console

    from tunesmith.pipeline.variants import run_all

    if not variants:
        raise ExperimentError("there is no variant to run; give those that load_variants(path) returns")
    place, _ = _place(next(iter(variants.values())), folder, None)
    return run_all(variants, place, terminal or Console())


def report(run_folder: str | Path) -> Path:
    """Write a run's `report.html` from its files, and return its path."""
    from tunesmith.report.page import write_report

    return write_report(Path(run_folder))


def compare(run_folders: Sequence[str | Path], output: str | Path = "comparison.html") -> Path:
    """Write a page that compares runs on the same held-out records, and return its path."""
    from tunesmith.report.compare import write_comparison

    return write_comparison([Path(run_folder) for run_folder in run_folders], Path(output))


def doctor() -> dict[str, list[Finding]]:
    """What this machine has, by topic: devices, kernels, quantisation, pictures, trackers."""
    from tunesmith.doctor.machine import survey

    return survey()


def schema() -> dict[str, Any]:
    """The JSON schema of experiment files."""
    from tunesmith.config.schema import experiment_schema

    return experiment_schema()


def _place(experiment: Experiment, folder: Path | None, variant: str | None) -> tuple[Path, str]:
    """Folder and variant as given, else as they were read."""
    origin = experiment.origin
    return origin.folder if folder is None else folder, variant or origin.variant


def _context(experiment: Experiment, folder: Path | None, variant: str | None, say: Say) -> RunContext:
    """The context of a run; ExperimentError if the experiment has variants and none is chosen."""
    from tunesmith.config.read import refuse_unchosen
    from tunesmith.pipeline.context import RunContext

    refuse_unchosen(experiment)
    return RunContext(experiment, *_place(experiment, folder, variant), say=say)


def _on(terminal: Console) -> Say:
    """Write messages to a terminal as they are."""
    return lambda text: terminal.print(text, markup=False, highlight=False, soft_wrap=True)
