from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import datasets
import pyarrow as pa

from tunesmith.records.sources._parquet_process import FAULT, LEFT_OUT


def test_the_stream_has_the_columns_without_bytes_and_a_fault_is_one_line(tmp_path: Path) -> None:
    made = datasets.Dataset.from_dict({"text": ["a", "b"], "image": [b"x", b"y"]})
    datasets.DatasetDict({"train": made}).save_to_disk(tmp_path / "saved")

    def run(**settings: str) -> subprocess.CompletedProcess[bytes]:
        program = [sys.executable, "-m", "tunesmith.records.sources._hub_process"]
        return subprocess.run(
            [*program, json.dumps({"path": "saved", **settings}), str(tmp_path)],
            capture_output=True,
            check=False,
        )

    with pa.ipc.open_stream(run().stdout) as stream:
        assert json.loads(stream.schema.metadata[LEFT_OUT]) == ["image"]
        assert stream.read_all().to_pydict() == {"text": ["a", "b"]}
    failed = run(split="trian")
    assert failed.returncode == FAULT
    assert (
        failed.stderr.decode()
        .splitlines()[-1]
        .startswith("hub data set 'saved': has no split 'trian' (train).")
    )
