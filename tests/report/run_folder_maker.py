"""A run folder as `docs/run-folder.md` says: generated answers, scored and compared by tunesmith itself."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from tunesmith.config.experiment import Experiment
from tunesmith.config.read import dump_experiment, experiment_from
from tunesmith.evaluate.compare import compare
from tunesmith.evaluate.rows import Row, read_rows, write_rows
from tunesmith.evaluate.scores import SCORES, score
from tunesmith.report.run_folder import read_run_folder

TOPICS = ("World", "Sports", "Business", "Sci/Tech")


def make_experiment(
    root: Path,
    variants: Sequence[str] = ("main",),
    labels: Sequence[str] = TOPICS,
    records: int = 400,
    accuracy: tuple[float, float] = (0.26, 0.76),
) -> list[Path]:
    """Folders of finished runs that share data and base; each is a bit more accurate than the one before."""
    experiment = settings(labels)
    random = np.random.default_rng(7)
    truth = random.integers(len(labels), size=records)
    write_data(root / "data-1f", truth, labels)
    base = answers(random, truth, len(labels), accuracy[0], unread=0.03)
    write_evaluation(root / "base-2a", "base", truth, base, experiment)
    folders = [root / variant for variant in variants]
    for number, folder in enumerate(folders):
        tuned = answers(random, truth, len(labels), accuracy[1] + 0.06 * number, unread=0.0075)
        write_run(folder, number, experiment)
        write_evaluation(folder / "evaluation", "tuned", truth, tuned, experiment)
        compare(
            root / "base-2a", folder / "evaluation", experiment.task, experiment.evaluate, experiment.seed
        )
    return folders


def make_pictured(root: Path, boxes: bool = False, records: int = 90) -> Path:
    """The folder of a finished run about pictures: questions of three stages, half of them yes or no; or, with
    boxes, where the one light table in each picture is."""
    experiment = experiment_from(
        {
            "name": "pictures",
            "model": {"path": "Qwen/Qwen2.5-0.5B-Instruct"},
            "data": {"source": {"kind": "jsonl", "path": "photos.jsonl"}},
            "task": {"kind": "answer", "prompt": "{question}"},
            "stages": [{"name": "adapt", "parts": {"language": {"kind": "lora"}}}],
            "evaluate": {"num_resamples": 100, "by": ["stage"], "metrics": ["accuracy", "unread"]},
        }
    )
    random = np.random.default_rng(3)
    pictures = [draw_picture(root / "photos" / f"{index}.jpg", random) for index in range(records)]
    write_data(root / "data-1f", np.arange(records) % 4, TOPICS)
    write_run(root / "main", 0, experiment)
    for folder, name, near in (
        (root / "base-2a", "base", (0.7, 0.8, 0.4)),
        (root / "main" / "evaluation", "tuned", (0.95, 0.3, 0.97)),
    ):
        rows = [
            pictured_row(index, picture, near[index % 3], random, boxes)
            for index, picture in enumerate(pictures)
        ]
        write_rows(folder / "rows.jsonl", rows)
        SCORES.write(folder, score(rows, experiment.task, experiment.evaluate, 17, name, 21.5))
    compare(root / "base-2a", root / "main" / "evaluation", experiment.task, experiment.evaluate, 17)
    return root / "main"


def add_predictions(run: Path, name: str, wrong: int) -> Path:
    """Predictions that are those of the base, but for the first so many that are made wrong."""
    note = json.loads((run / "run.json").read_text(encoding="utf-8"))
    write_json(run / "run.json", {**note, "asked": "5e"})
    experiment = read_run_folder(run).experiment
    rows = [
        replace(row, predicted=(row.label + 1) % 4, unread=None, marks={"correct": 0.0})
        if number < wrong and row.label is not None
        else row
        for number, row in enumerate(read_rows(run.parent / "base-2a" / "rows.jsonl"))
    ]
    folder = run.parent / f"predictions-{name}-5e"
    folder.mkdir(exist_ok=True)
    write_rows(folder / "rows.jsonl", rows)
    SCORES.write(folder, score(rows, experiment.task, experiment.evaluate, 17, name))
    return folder


def draw_picture(file: Path, random: np.random.Generator) -> tuple[Path, tuple[float, ...]]:
    """A picture of a light table on a dark or light ground, and the corners of the table as shares."""
    width, height = int(random.integers(500, 900)), int(random.integers(400, 900))
    left, top = random.uniform(0.05, 0.4, 2)
    right, bottom = random.uniform(0.6, 0.95, 2)
    image = Image.linear_gradient("L").resize((width, height)).rotate(180 * random.integers(2)).convert("RGB")
    table = tuple(np.multiply((left, top, right, bottom), (width, height, width, height)))
    draw = ImageDraw.Draw(image)
    draw.rectangle(table, fill=(250, 247, 235), outline=(60, 40, 20), width=4)
    for line in range(1, 8):
        y = table[1] + line * (table[3] - table[1]) / 8
        draw.line((table[0] + 12, y, table[2] - 12, y), fill=(90, 90, 90), width=3)
    file.parent.mkdir(parents=True, exist_ok=True)
    image.save(file)
    return file, (float(left), float(top), float(right), float(bottom))


def pictured_row(
    index: int,
    picture: tuple[Path, tuple[float, ...]],
    near: float,
    random: np.random.Generator,
    boxes: bool,
) -> Row:
    """An answer about a picture that is right, or near, with this chance."""
    file, corners = picture
    unread = None if random.random() > 0.08 else "names no box" if boxes else "is empty"
    right = float(unread is None and random.random() < near)
    row = Row(
        record=f"photos.jsonl:{index + 1}",
        sha256=hashlib.sha256(str(index).encode()).hexdigest(),
        asked="Is there a table?" if index % 2 else "What stands in the middle of the picture?",
        reference="yes" if index % 2 else "a light table",
        answer="" if unread else ("yes" if index % 2 else "a table") if right else "I see nothing",
        ended=True,
        reading=None if unread else "said",
        unread=unread,
        label=None,
        predicted=None,
        marks={"correct": right},
        scores=None,
        fields={"answer type": "yes/no" if index % 2 else "open", "stage": index % 3 + 1},
        pictures=(str(file),),
    )
    if not boxes:
        return row
    shift = 0.04 if right else 0.22
    said = [float(one) + float(random.uniform(0, shift)) for one in corners]
    true, iou = {"label": "table", "corners": list(corners)}, 0.0 if unread else iou_of(said, corners)
    return replace(
        row,
        asked="",
        reference="table (1, 2), (3, 4)",
        answer="There is none." if unread else '[{"bbox_2d": [1, 2, 3, 4], "label": "table"}]',
        reading=None if unread else [{"label": "table", "corners": said}],
        marks={"iou": iou, "correct": float(iou > 0.5)},
        boxes=(true,),
    )


def iou_of(first: Sequence[float], second: Sequence[float]) -> float:
    """Intersection over union of two boxes."""
    wide = max(0.0, min(first[2], second[2]) - max(first[0], second[0]))
    high = max(0.0, min(first[3], second[3]) - max(first[1], second[1]))
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (first, second)]
    return wide * high / (sum(areas) - wide * high)


def settings(labels: Sequence[str]) -> Experiment:
    adapt = {"parts": {"language": {"kind": "lora", "rank": 16, "alpha": 32}}}
    return experiment_from(
        {
            "name": "ag-news",
            "model": {"path": "Qwen/Qwen2.5-0.5B-Instruct"},
            "data": {"source": {"kind": "jsonl", "path": "news.jsonl"}},
            "task": {"kind": "classify", "labels": list(labels), "prompt": "Classify:\n\n{text}"},
            "stages": [{"name": "adapt"} | adapt, {"name": "polish"} | adapt],
            "evaluate": {"num_resamples": 100},
        }
    )


def answers(
    random: np.random.Generator, truth: np.ndarray, num_classes: int, accuracy: float, unread: float
) -> np.ndarray:
    """Probabilities of each class by record; a row of NaN is an unread answer."""
    scores = random.gumbel(size=(len(truth), num_classes)) * 0.8
    right = random.random(len(truth)) < accuracy
    said = np.where(right, truth, (truth + random.integers(1, num_classes, size=len(truth))) % num_classes)
    scores[np.arange(len(truth)), said] = scores.max(1) + random.exponential(1.5, size=len(truth))
    probabilities = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    probabilities[random.random(len(truth)) < unread] = np.nan
    return probabilities


def write_evaluation(
    folder: Path, name: str, truth: np.ndarray, scores: np.ndarray, experiment: Experiment
) -> None:
    labels = experiment.task.labels_in_order
    rows = [
        row_of(index, labels, int(true), said)
        for index, (true, said) in enumerate(zip(truth, scores, strict=True))
    ]
    write_rows(folder / "rows.jsonl", rows)
    scored = score(rows, experiment.task, experiment.evaluate, experiment.seed, name, seconds=21.5)
    SCORES.write(folder, scored)


def row_of(index: int, labels: Sequence[str], true: int, scores: np.ndarray) -> Row:
    predicted = None if np.isnan(scores[0]) else int(scores.argmax())
    answer = "I think this could be <b>either</b> of them." if predicted is None else labels[predicted]
    return Row(
        record=f"news.jsonl:{index + 1}",
        sha256=hashlib.sha256(str(index).encode()).hexdigest(),
        asked=asked(index),
        reference=labels[true],
        answer=answer,
        ended=True,
        reading=None if predicted is None else answer,
        unread="names none of the classes" if predicted is None else None,
        label=true,
        predicted=predicted,
        marks={"correct": float(true == predicted)},
        scores=None if predicted is None else tuple(round(float(one), 6) for one in scores),
    )


def asked(index: int) -> str:
    if index % 29 == 0:
        return (
            "Classify the following news article:\n\nهذا خبر عن مباراة كرة القدم التي جرت أمس 3-1 (Reuters)."
        )
    article = (
        f"Article {index}: markets closed higher on Tuesday after the central bank left rates alone, while "
        "analysts at three houses said that the outlook for the second half had <em>not</em> improved. "
    )
    return "Classify the following news article:\n\n" + article * (8 if index % 7 == 0 else 1)


def write_data(folder: Path, truth: np.ndarray, labels: Sequence[str]) -> None:
    counts = np.bincount(truth, minlength=len(labels)).tolist()
    strata = {"train": [18 * n for n in counts], "validation": [n // 2 for n in counts], "test": counts}
    sides = {side: sum(numbers) for side, numbers in strata.items()}
    write_json(
        folder / "manifest.json",
        {
            "checksum": hashlib.sha256(b"split").hexdigest(),
            "counts": sides | {"dropped": 4},
            "settings": {"holdout": 400, "seed": 17},
            "by": ["text"],
            "leaks": {
                "action": "drop", "near": 0.9, "exact_pairs": 3, "near_pairs": 1, "dropped": 4,
                "examples": [["news.jsonl:12", "news.jsonl:907", "same text"]],
            },
            "bad_rows": {"count": 1, "first": [["news.jsonl:77", "field 'text' is missing"]]},
            "strata": {side: dict(zip(labels, numbers, strict=True)) for side, numbers in strata.items()},
            "source": "news.jsonl 1832711 bytes",
            "made": "2026-01-31T12:00:00Z",
        },
    )  # fmt: skip


def write_run(folder: Path, number: int, experiment: Experiment) -> None:
    """Everything of a finished run with two stages but its evaluation."""
    write_json(
        folder / "run.json",
        {"experiment": "ag-news", "variant": folder.name, "data": "../data-1f", "base": "../base-2a"},
    )
    (folder / "experiment.yaml").write_text(dump_experiment(experiment), encoding="utf-8")
    write_json(
        folder / "environment.json",
        {
            "versions": {"tunesmith": "0.1.0", "python": "3.11.7", "torch": "2.13.0"},
            "command": "tunesmith run ag-news.yaml",
            "cores": 2,
            "gpu": None,
        },
    )  # fmt: skip
    lengths = np.random.default_rng(5).gamma(9, 13, size=7200) + 20
    counts, edges = np.histogram(lengths, bins=36)
    write_json(
        folder / "audit.json",
        {
            "mode": "tokens",
            "samples": len(lengths),
            "tokens": {"min": int(lengths.min()), "mean": round(float(lengths.mean()), 1)}
            | {f"p{q}": int(np.percentile(lengths, q)) for q in (50, 90, 95, 99)}
            | {"max": int(lengths.max())},
            "histogram": {"edges": edges.round(1).tolist(), "counts": counts.tolist()},
            "trained_share": 0.021,
            "limit": 512,
            "over_limit": 0,
            "recommended": 384,
        },
    )
    write_lines(
        folder / "log.jsonl",
        [*stage_events("adapt", 200, 2e-4, 1.4 - 0.2 * number), *stage_events("polish", 60, 5e-5, 0.5)],
    )
    write_json(
        folder / "lineage.json",
        [
            {"stage": "adapt", "started_from": "base", "key": "9d0c", "left": "aa" * 32},
            {"stage": "polish", "started_from": "adapt", "key": "51fe", "left": "bb" * 32},
        ],
    )
    for stage, steps, best in (("adapt", 200, 180), ("polish", 60, 40)):
        done = {"fingerprint": "9d0c", "steps": steps, "best_step": best, "seconds": steps * 1.9}
        write_json(folder / "stages" / stage / "done.json", done | {"bytes": 3_700_000})
        write_json(folder / "stages" / stage / "parts.json", PARTS)


def stage_events(stage: str, steps: int, rate: float, loss: float) -> list[dict[str, Any]]:
    random = np.random.default_rng(steps)
    time = {"time": "2026-01-31T12:00:00Z"}
    events: list[dict[str, Any]] = [
        {"event": "stage_start", "stage": stage, "step": 0, "steps": steps, "steps_per_epoch": steps}
        | {"parts": PARTS, "notes": ["attention: sdpa (no CUDA device)"]}
        | time
    ]
    for step in range(1, steps + 1):
        events.append(
            {
                "event": "update", "stage": stage, "step": step, "steps": steps, "epoch": step / steps,
                "loss": loss * math.exp(-3 * step / steps) + 0.12 * float(random.random()),
                "learning_rate": rate * min(1, step / 6) * (1 + math.cos(math.pi * step / steps)) / 2,
                "gradient_norm": 1.5 * float(random.random()) + 0.4, "tokens": 1800, "trained_tokens": 38,
                "seconds": 1.9 + 0.3 * float(random.random()), "memory_gib": 1.62 + 0.001 * step,
            }
            | time
        )  # fmt: skip
        if step % 20 == 0:
            events.append(
                {"event": "evaluation", "stage": stage, "step": step, "best": step in (160, 180, 40)}
                | {
                    "metrics": {
                        "accuracy": 0.8 - 0.36 * loss * math.exp(-4 * step / steps),
                        "f1_macro": 0.6,
                        "f1/World": 0.5,
                    }
                }
                | time
            )
    return [
        *events,
        {"event": "stage_end", "stage": stage, "step": steps, "stopped_early": False, "seconds": 400} | time,
    ]


def write_json(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")


def write_lines(path: Path, values: Sequence[Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        "".join(json.dumps(value, ensure_ascii=False) + "\n" for value in values), encoding="utf-8"
    )


PARTS = [
    {
        "part": "language",
        "method": "lora",
        "trained": 921600,
        "total": 134515008,
        "share": 0.00685,
        "bytes": 3686400,
    },
    {"part": "head", "method": "frozen", "trained": 0, "total": 28311552, "share": 0.0, "bytes": 0},
]
