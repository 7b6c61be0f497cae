"""Rows, pictures, experiment files and model folders, mutated with fixed seeds: each is taken, or refused in a
sentence."""

from __future__ import annotations

import copy
import io
import json
import os
import random
import resource
import shutil
import signal
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.kills.parts import Part
from benchmarks.kills.tally import Outcome
from ruamel.yaml import YAML

from tests.pipeline.small import small_experiment, write_rows
from tests.tiny import tiny_model, tiny_seeing_model

AT_ONCE = 50
"""Inputs for each forked process."""
SECONDS = 30
"""An input that takes longer has no end."""
SHARES = {"rows": 0.4, "pictures": 0.25, "experiment files": 0.25, "model folders": 0.1}
VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, -(2**63), 2**70, 0.5, 1e308, "", " ", "x", "none", "~", "\0", "\x1b[2J",
    "../../..", "/dev/null", "🙂", "\ud800", "a" * 10_000, [], {}, [[]], [None], {"": None}, {"a": {"b": [1, "2"]}},
)  # fmt: skip
PIECES = (
    b"\0", b"\xff", b"\xff\xfe", b"\xef\xbb\xbf", b'"', b"'", b"\n", b"\r\n", b"\t", b",", b";", b"{", b"}", b"[", b"]",
    b":", b"null", b"NaN", b"1e999", b"-1", b"\\ud800", b"{{", b"}}", b"{%", b"<", b"|>", b"<|im_end|>", b"[" * 600,
)  # fmt: skip


@dataclass(frozen=True)
class Input:
    """One mutated input, made and tried in a folder of its own; what is tried raises if it is refused or fails."""

    what: str
    name: str
    attempt: Callable[[Path], None]


def mutated(folder: Path, number: int, seed: int, part: Part) -> Iterator[Outcome]:
    """What became of this part of so many mutated inputs."""
    shutil.rmtree(folder / "seeds", ignore_errors=True)
    makers = {
        "rows": _rows(folder / "seeds"),
        "pictures": _pictures(folder / "seeds"),
        "experiment files": _experiments(folder / "seeds"),
        "model folders": _models(folder / "seeds"),
    }
    for what, share in SHARES.items():
        left = list(range(part.index, round(number * share), part.count))
        while left:
            batch = [
                Input(
                    what, f"seed {seed}, input {index}", makers[what](random.Random(f"{seed} {what} {index}"))
                )
                for index in left[:AT_ONCE]
            ]
            outcomes = _tried(folder / "trial", batch)
            yield from outcomes
            left = left[len(outcomes) :]


def _tried(folder: Path, batch: list[Input]) -> list[Outcome]:
    """Outcomes of the inputs of a batch, in one process; they end at one that ends that process."""
    reading, writing = os.pipe()
    process = os.fork()
    if process == 0:
        os.close(reading)
        with os.fdopen(writing, "w") as told:
            for one in batch:
                told.write(json.dumps(_one(folder, one)) + "\n")
                told.flush()
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as told:
        outcomes = [Outcome(one.what, *json.loads(line)) for one, line in zip(batch, told, strict=False)]
    _, status = os.waitpid(process, 0)
    if len(outcomes) < len(batch):
        lost = batch[len(outcomes)]
        why = (
            f"{lost.name}: the process ended with {os.waitstatus_to_exitcode(status)} (a signal if negative)"
        )
        outcomes.append(Outcome(lost.what, "wrong", why))
    return outcomes


def _one(folder: Path, one: Input) -> tuple[str, str]:
    from tunesmith.errors import TunesmithError

    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    os.chdir(folder)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
    _limit_memory()
    # Its default action ends the process, whatever a library is doing.
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(SECONDS)
    try:
        one.attempt(folder)
    except TunesmithError as error:
        return "clear error", f"{one.name}: {error}"[:600]
    except BaseException:
        return "wrong", f"{one.name}: {traceback.format_exc()[-2500:]}"
    finally:
        signal.alarm(0)
    return "right", ""


def _limit_memory() -> None:
    """Let this process have 4 GiB more than it has, so that an input that asks for more takes nothing from others."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * os.sysconf("SC_PAGE_SIZE") + 4 * 2**30
    resource.setrlimit(resource.RLIMIT_AS, (most, resource.getrlimit(resource.RLIMIT_AS)[1]))


def mutate_bytes(content: bytes, chance: random.Random) -> bytes:
    """The content with one to four changes: bits, pieces put in, slices taken out, doubled, moved, or its end cut."""
    for _ in range(chance.randint(1, 4)):
        place, size = chance.randrange(len(content) + 1), chance.choice((1, 1, 2, 8, 64))
        rest = content[place + size :]
        match chance.randrange(6):
            case 0 if place < len(content):
                content = (
                    content[:place]
                    + bytes([content[place] ^ 1 << chance.randrange(8)])
                    + content[place + 1 :]
                )
            case 1:
                content = content[:place] + chance.choice(PIECES) + content[place:]
            case 2:
                content = content[:place] + rest
            case 3:
                content = content[: place + size] + content[place : place + size] + rest
            case 4:
                content = content[:place] + chance.randbytes(size) + rest
            case _ if chance.random() < 0.3:
                content = content[:place]
    return content


def mutate_value(value: Any, chance: random.Random) -> Any:
    """The JSON-like value with one place in it changed: a key taken out, renamed or added, or a value exchanged."""
    value = copy.deepcopy(value)
    places = list(_places(value))
    if not places:
        return chance.choice(VALUES)
    holder, key = chance.choice(places)
    match chance.randrange(5):
        case 0 if isinstance(holder, dict):
            del holder[key]
        case 1 if isinstance(holder, dict):
            holder[f"{key}{chance.choice(('s', ' ', '_', '.x'))}"] = holder.pop(key)
        case 2:
            other, name = chance.choice(places)
            holder[key] = copy.deepcopy(other[name])
        case 3 if isinstance(holder[key], int | float | str) and not isinstance(holder[key], bool):
            holder[key] = chance.choice(
                (holder[key] * 2, str(holder[key]), [holder[key]], {"x": holder[key]})
            )
        case _:
            holder[key] = chance.choice(VALUES)
    return value


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield value, key
            yield from _places(value[key])


def _rows(seeds: Path) -> Callable[[random.Random], Callable[[Path], None]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    seeds.mkdir(parents=True, exist_ok=True)
    write_rows(seeds / "rows.jsonl", 12)
    model = tiny_model(seeds / "reads", hidden_size=16, layers=1, vocabulary=320)
    rows = [json.loads(line) for line in (seeds / "rows.jsonl").read_text().splitlines()]
    rows = [{**row, "n": number, "list": ["a", number], "chosen": None} for number, row in enumerate(rows)]
    tasks = {
        "classify": {"kind": "classify", "labels": ["fruit", "tool"], "prompt": "Which? {text}"},
        "answer": {"kind": "answer", "prompt": "Which? {text}", "field": "label"},
        "chat": {"kind": "chat"},
    }

    def make(chance: random.Random) -> Callable[[Path], None]:
        form, kind = chance.choice(("jsonl", "json", "csv", "tsv", "parquet")), chance.choice(list(tasks))
        some = [mutate_value(row, chance) if chance.random() < 0.2 else row for row in rows]
        if kind == "chat":
            some = [_spoken(row, chance) for row in rows]
        content = _table(some, form, chance, pa, pq)
        if chance.random() < 0.7:
            content = mutate_bytes(content, chance)
        source = {"kind": form.replace("tsv", "csv"), "path": f"rows.{form}"}
        if form == "tsv":
            source["delimiter"] = "\t"
        bad = chance.choice(("stop", "skip"))

        def attempt(folder: Path) -> None:
            (folder / f"rows.{form}").write_bytes(content)
            data = {"source": source, "split": {"holdout": 2, "validation": 1}, "on_bad_rows": bad}
            _prepare(folder, model, data, tasks[kind])

        return attempt

    return make


def _spoken(row: dict[str, Any], chance: random.Random) -> Any:
    turns = [{"role": "user", "content": row["text"]}, {"role": "assistant", "content": row["label"]}]
    spoken = {"messages": turns}
    return mutate_value(spoken, chance) if chance.random() < 0.2 else spoken


def _table(rows: list[Any], form: str, chance: random.Random, pa: Any, pq: Any) -> bytes:
    """The rows as a file; what a form cannot hold stands there as JSON."""
    if form == "jsonl":
        return "\n".join(map(json.dumps, rows)).encode() + b"\n"
    if form == "json":
        return json.dumps({"data": rows} if chance.random() < 0.3 else rows).encode()
    flat = [row if isinstance(row, dict) else {"text": row} for row in rows]
    names = list(dict.fromkeys(name for row in flat for name in row))
    texts = {
        name: [str(row[name]).encode("utf-8", "replace").decode() if name in row else None for row in flat]
        for name in names
    }
    if form == "parquet":
        file = io.BytesIO()
        options = {
            "compression": chance.choice(("none", "snappy", "zstd")),
            "use_dictionary": chance.random() < 0.5,
        }
        pq.write_table(
            pa.table({name: pa.array(column, pa.string()) for name, column in texts.items()}), file, **options
        )
        return file.getvalue()
    mark = "\t" if form == "tsv" else ","
    lines = [mark.join(map(json.dumps, names))]
    lines += [mark.join(json.dumps(column[index]) for column in texts.values()) for index in range(len(flat))]
    return "\n".join(lines).encode("utf-8", "replace")


def _prepare(folder: Path, model: Path, data: dict[str, Any], task: dict[str, Any]) -> None:
    from tunesmith.config.read import read_experiment
    from tunesmith.pipeline.context import RunContext

    file = folder / "e.yaml"
    settings = {"name": "f", "model": {"path": str(model)}, "data": data, "task": task, "output": "runs",
                "stages": [{"parts": {"language": "full"}}]}  # fmt: skip
    with file.open("w") as opened:
        YAML().dump(settings, opened)
    prepared = RunContext(read_experiment(file), folder, say=lambda _: None).prepared
    for side in ("train", "validation", "test"):
        for record in prepared.records(side):  # type: ignore[arg-type]
            record.fields.values()


def _pictures(seeds: Path) -> Callable[[random.Random], Callable[[Path], None]]:
    from PIL import Image, features

    chance = random.Random(0)
    image = Image.frombytes("RGB", (48, 40), chance.randbytes(48 * 40 * 3))
    forms: dict[str, bytes] = {}
    kinds = {
        "png": ("PNG", "RGB"), "gray.png": ("PNG", "L"), "palette.png": ("PNG", "P"), "alpha.png": ("PNG", "RGBA"),
        "jpg": ("JPEG", "RGB"), "cmyk.jpg": ("JPEG", "CMYK"), "gif": ("GIF", "P"), "webp": ("WEBP", "RGB"),
        "tif": ("TIFF", "RGB"), "bmp": ("BMP", "RGB"), "avif": ("AVIF", "RGB"), "jp2": ("JPEG2000", "RGB"),
        "ppm": ("PPM", "RGB"), "ico": ("ICO", "RGB"), "tga": ("TGA", "RGB"),
    }  # fmt: skip
    needs = {"AVIF": "avif", "WEBP": "webp", "JPEG2000": "jpg_2000"}
    for ending, (kind, mode) in kinds.items():
        if features.check(needs[kind]) if kind in needs else True:
            file = io.BytesIO()
            image.convert(mode).save(file, kind)
            forms[ending] = file.getvalue()
    whole = forms["png"]
    model = tiny_seeing_model(seeds / "sees", "qwen2_vl", layers=1)

    def make(chance: random.Random) -> Callable[[Path], None]:
        ending = chance.choice(list(forms))
        content = mutate_bytes(forms[ending], chance)
        if ending.endswith("png") and chance.random() < 0.5:
            content = _with_sums(content)
        task = {"kind": "classify", "labels": ["a", "b"], "prompt": "{image}?", "pictures": ["image"]}
        bad = chance.choice(("stop", "skip"))

        def attempt(folder: Path) -> None:
            for name in ("one.png", "two.png", "three.png"):
                (folder / name).write_bytes(whole + name.encode())
            (folder / f"odd.{ending}").write_bytes(content)
            named = ["one.png", f"odd.{ending}", "two.png", "three.png"]
            lines = [
                json.dumps({"image": name, "label": "ab"[index % 2]}) for index, name in enumerate(named)
            ]
            (folder / "rows.jsonl").write_text("\n".join(lines) + "\n")
            data = {"source": {"kind": "jsonl", "path": "rows.jsonl"}, "split": {"holdout": 1, "validation": 0},
                    "leaks": {"near": None, "pictures": None}, "on_bad_rows": bad}  # fmt: skip
            _prepare(folder, model, data, task)

        return attempt

    return make


def _with_sums(png: bytes) -> bytes:
    """A PNG file whose chunks have the checksums of what they hold, so that their content is read."""
    import zlib

    made, place = png[:8], 8
    while place + 12 <= len(png):
        size = int.from_bytes(png[place : place + 4], "big")
        chunk = png[place + 4 : place + 8 + size]
        made += png[place : place + 4] + chunk + zlib.crc32(chunk).to_bytes(4, "big")
        place += 12 + size
    return made


def _experiments(seeds: Path) -> Callable[[random.Random], Callable[[Path], None]]:
    root = Path(__file__).parents[2] / "recipes"
    seeds.mkdir(parents=True, exist_ok=True)
    if not (seeds / "model").exists():
        (seeds / "model").mkdir()
    files = [*sorted(root.glob("*.yaml")), small_experiment(seeds)]
    texts = [file.read_text("utf-8") for file in files]
    parsed = [YAML(typ="safe", pure=True).load(text) for text in texts]
    overrides = ("seed=3", "stages.0.epochs=2", "model.weights=nf4", "stages.0.parts.language={kind: full}",
                 "evaluate.every=3 steps", "task.labels=[a, b]", "data.split.holdout=0.2")  # fmt: skip

    def make(chance: random.Random) -> Callable[[Path], None]:
        given: list[str] = []
        if chance.random() < 0.6:
            value = chance.choice(parsed)
            for _ in range(chance.randint(1, 3)):
                value = mutate_value(value, chance)
            made = io.StringIO()
            try:
                YAML().dump(json.loads(json.dumps(value)), made)
            except Exception:
                made = io.StringIO(json.dumps(value))
            content = made.getvalue().encode("utf-8", "backslashreplace")
        else:
            content = mutate_bytes(chance.choice(texts).encode(), chance)
        if chance.random() < 0.3:
            raw = mutate_bytes(chance.choice(overrides).encode(), chance)
            given.append(raw.decode("utf-8", "surrogateescape"))

        def attempt(folder: Path) -> None:
            from tunesmith.config.read import dump_experiment, read_experiment

            (folder / "e.yaml").write_bytes(content)
            experiment = read_experiment(folder / "e.yaml", given)
            (folder / "again.yaml").write_text(dump_experiment(experiment), "utf-8")
            again = read_experiment(folder / "again.yaml")
            assert again.model_dump(mode="json") == experiment.model_dump(mode="json"), (
                "it is read back otherwise"
            )

        return attempt

    return make


def _models(seeds: Path) -> Callable[[random.Random], Callable[[Path], None]]:
    folders = [
        tiny_model(seeds / "qwen2", "qwen2", hidden_size=16, layers=1, vocabulary=320),
        tiny_model(seeds / "qwen3", "qwen3", hidden_size=16, layers=1, vocabulary=320),
        tiny_seeing_model(seeds / "qwen2_vl", "qwen2_vl", layers=1),
    ]
    folders += [_in_shards(folder, seeds / f"{folder.name}-shards") for folder in folders]

    def make(chance: random.Random) -> Callable[[Path], None]:
        model = chance.choice(folders)
        harmed = chance.choice(sorted(file.name for file in model.iterdir()))
        content = _harmed(model / harmed, chance)

        def attempt(folder: Path) -> None:
            shutil.copytree(model, folder / "m")
            if content is None:
                (folder / "m" / harmed).unlink()
            else:
                (folder / "m" / harmed).write_bytes(content)
            _answer(folder / "m")

        return attempt

    return make


def _in_shards(model: Path, folder: Path) -> Path:
    """The same model with its weights in several files and their index."""
    from safetensors.torch import load_file, save_file

    shutil.copytree(model, folder)
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    index = {}
    for number, names in enumerate((sorted(weights)[::2], sorted(weights)[1::2]), 1):
        shard = f"model-0000{number}-of-00002.safetensors"
        save_file({name: weights[name] for name in names}, folder / shard, {"format": "pt"})
        index |= dict.fromkeys(names, shard)
    size = sum(weight.nbytes for weight in weights.values())
    told = {"metadata": {"total_size": size}, "weight_map": index}
    (folder / "model.safetensors.index.json").write_text(json.dumps(told))
    return folder


def _harmed(file: Path, chance: random.Random) -> bytes | None:
    """The file's content, mutated; None for a file that is gone."""
    content = file.read_bytes()
    kind = chance.random()
    if kind < 0.05:
        return None
    if kind < 0.1:
        return b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 1234\n"
    if kind < 0.15:
        return b""
    if file.suffix == ".json" and kind < 0.75:
        value = json.loads(content)
        for _ in range(chance.randint(1, 2)):
            value = mutate_value(value, chance)
        return json.dumps(value).encode()
    if file.suffix == ".safetensors":
        size = int.from_bytes(content[:8], "little")
        if kind < 0.6:
            header = json.dumps(mutate_value(json.loads(content[8 : 8 + size]), chance)).encode()
            return len(header).to_bytes(8, "little") + header + content[8 + size :]
        return mutate_bytes(content[: 8 + size], chance) + content[8 + size :]
    return mutate_bytes(content, chance)


def _answer(model: Path) -> None:
    """Load the model and have one question answered."""
    from tunesmith.config.experiment import Evaluate, Model
    from tunesmith.evaluate.defaults import engine_without_references
    from tunesmith.model.load import load
    from tunesmith.records.record import Record
    from tunesmith.tasks.classify import Classify

    loaded = load(Model(path=str(model), weights="fp32", device="cpu"))
    task = Classify(labels=["fruit", "tool"], prompt="Which? {text}")
    question = task.ask(Record("a:1", {"text": "the apple"}), ())
    engine = engine_without_references(task, Evaluate())
    answers = list(engine.fitted(loaded, task, [question]).answers(loaded, task, [question]))
    assert len(answers) == 1, "the question has no answer"
