"""Times `prepare` of records with pictures (read, check, hash, find versions, split) and `verify`.

    python benchmarks/pictures_prepare.py                            # 1,000 and 50,000 JPEGs of 64x64
    python benchmarks/pictures_prepare.py --counts 500 --side 1024   # larger ones
    python benchmarks/pictures_prepare.py --as bytes                 # in Parquet instead of files named by path

Every run is a process of its own, so its peak memory is its own. `decode` is what one thread needs to decode the same
pictures by Pillow and to do nothing else.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

COLUMNS = (
    "pictures", "side", "as", "threads", "prepare s", "pictures/s", "verify s", "decode s", "peak MiB", "versions",
)  # fmt: skip


def jpegs(count: int, side: int) -> Iterator[bytes]:
    """Soft blobs of colour, all different; 1 in 50 is an earlier one, resized."""
    chance = np.random.default_rng(7)
    for number in range(count):
        if number % 50 != 49:
            blobs = Image.fromarray(chance.integers(0, 256, (8, 8, 3), dtype=np.uint8))
        size = side if number % 50 != 49 else max(8, side * 3 // 4)
        stream = io.BytesIO()
        blobs.resize((size, size), Image.Resampling.BICUBIC).save(stream, "JPEG", quality=85)
        yield stream.getvalue()


def write(folder: Path, count: int, side: int, form: str) -> None:
    """The pictures and the rows that name or hold them."""
    if form == "bytes":
        import pyarrow as pa
        import pyarrow.parquet as pq

        schema = pa.schema([("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())]))])
        with pq.ParquetWriter(folder / "d.parquet", schema) as writer:
            for content in jpegs(count, side):
                writer.write_batch(pa.record_batch([[{"bytes": content, "path": None}]], schema=schema), 100)
        return
    with (folder / "d.jsonl").open("w") as rows:
        for number, content in enumerate(jpegs(count, side)):
            name = f"{number % 256:02x}/{number}.jpg"
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_bytes(content)
            rows.write(json.dumps({"image": name}) + "\n")


def child(folder: Path, form: str) -> None:
    from tunesmith.config.experiment import Data
    from tunesmith.data.prepare import prepare

    kind, path = ("parquet", "d.parquet") if form == "bytes" else ("jsonl", "d.jsonl")
    data = Data.model_validate({"source": {"kind": kind, "path": path}})
    start = time.perf_counter()
    prepared = prepare(data, ("image",), folder, folder / "made", pictures=("image",))
    middle = time.perf_counter()
    prepared.verify()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    times = {"prepare": middle - start, "verify": time.perf_counter() - middle}
    print(json.dumps({**times, "peak": peak, "versions": prepared.certificate["duplicates"]["picture"]}))


def decoded(folder: Path, count: int, side: int) -> float:
    """Seconds that decoding takes, judged by at most 2,000 of the pictures."""
    some = list(jpegs(min(count, 2000), side))
    start = time.perf_counter()
    for content in some:
        Image.open(io.BytesIO(content)).load()
    return (time.perf_counter() - start) * count / len(some)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--counts", type=int, nargs="*", default=[1000, 50_000])
    parser.add_argument("--side", type=int, default=64, help="width and height in pixels")
    parser.add_argument("--as", dest="form", choices=["path", "bytes"], default="path")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        child(Path(given.child[0]), given.child[1])
        return
    print(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}")
    for count in given.counts:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            write(folder, count, given.side, given.form)
            command = [sys.executable, __file__, "--child", str(folder), given.form]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            got = json.loads(done.stdout.splitlines()[-1])
            cells = (
                f"{count:,}", given.side, given.form, min(16, os.cpu_count() or 1), f"{got['prepare']:.1f}",
                f"{count / got['prepare']:.0f}", f"{got['verify']:.1f}",
                f"{decoded(folder, count, given.side):.1f}", got["peak"], got["versions"],
            )  # fmt: skip
            print(f"| {' | '.join(map(str, cells))} |", flush=True)


if __name__ == "__main__":
    main()
