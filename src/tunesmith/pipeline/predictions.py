"""Predictions from elsewhere in an experiment: scored on its held-out records, one more row of its pages."""

from __future__ import annotations

import json
import re
from pathlib import Path

from tunesmith.errors import ExperimentError
from tunesmith.evaluate.evaluate import conversations_of
from tunesmith.evaluate.predictions import matched, read_predictions, rows_of_predictions, settings_of_rows
from tunesmith.evaluate.rows import write_rows
from tunesmith.evaluate.scores import SCORES, Scores, score
from tunesmith.files import file_sha256, whole_file
from tunesmith.images.picture import Picture
from tunesmith.pipeline.context import RunContext
from tunesmith.pipeline.evaluation import held_out_settings
from tunesmith.runs.run import PREDICTIONS_SOURCE, PredictionsSource

_NAME = re.compile(r"[A-Za-z0-9][\w.-]*")
_TAKEN = ("base", "tuned", "validation")


def evaluate_predictions(run: RunContext, file: Path, name: str) -> tuple[Path, Scores]:
    """Score the predictions of a file on the held-out records; gives the folder with rows and scores, and the scores.

    Neither model nor device is needed. Raises ExperimentError for a name that cannot be or that other predictions
    have already, DataError for predictions that are missing, doubled, or of no held-out record.
    """
    if not _NAME.fullmatch(name) or name in _TAKEN:
        raise ExperimentError(
            f"--name {name!r}: must begin with a letter or digit, hold only letters, digits, '_', '-' and '.', and not "
            f"be one of {', '.join(_TAKEN)}"
        )
    predictions = read_predictions(file)
    records = run.test_records
    given = matched(records, predictions, str(file))
    folder = run.shared.predictions(name, run.keys.asked)
    source = PredictionsSource(name, str(file), file_sha256(file))
    known = PREDICTIONS_SOURCE.read(folder)
    if known is not None and known.sha256 != source.sha256:
        raise ExperimentError(
            f"--name {name}: other predictions were scored under this name already (of {known.file}). Give these "
            f"another name, or remove {folder}"
        )
    conversations = conversations_of(run.task, records)
    rows = rows_of_predictions(
        run.task, records, conversations, given, str(file), held_out_settings(run.experiment)
    )
    settings = settings_of_rows(held_out_settings(run.experiment), run.task, rows)
    folder.mkdir(parents=True, exist_ok=True)
    write_rows(folder / "rows.jsonl", rows)
    scores = score(rows, run.task, settings, run.experiment.seed, name)
    SCORES.write(folder, scores)
    PREDICTIONS_SOURCE.write(folder, source)
    return folder, scores


def write_held_out(run: RunContext, path: Path) -> int:
    """Write the held-out records as JSON lines with their `id`, for a model or program elsewhere to answer; gives their
    number. Pictures are named by their paths."""
    with whole_file(path) as partial, partial.open("w", encoding="utf-8", newline="\n") as file:
        for record in run.test_records:
            line = {**record.fields, "id": record.id}
            file.write(json.dumps(line, ensure_ascii=False, default=_path_of) + "\n")
    return len(run.test_records)


def _path_of(picture: Picture) -> str:
    return str(picture.file.resolve())
