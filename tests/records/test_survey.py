from __future__ import annotations

import json
from pathlib import Path

import pytest

from tunesmith.config.experiment import Data
from tunesmith.errors import DataError
from tunesmith.records.record import Record
from tunesmith.records.survey import Survey
from tunesmith.split.prepare import prepare
from tunesmith.split.reading import Use


class Lengths(Survey):
    """Knows the longest text."""

    longest = 0

    def see(self, record: Record) -> None:
        self.longest = max(self.longest, len(record.fields["text"]))

    def advice(self) -> str:
        return f"All would fit into {self.longest}."

    def notes(self) -> list[str]:
        return [f"the longest has {self.longest}"]


def refuse_long(record: Record) -> None:
    if len(record.fields["text"]) > 4:
        raise DataError(f"{record.id}: is long")


def test_what_all_records_tell_stands_once_after_the_bad_rows_and_in_the_certificate(tmp_path: Path) -> None:
    rows = [{"text": "a" * length} for length in range(1, 8)]
    (tmp_path / "d.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    settings = {"source": {"kind": "jsonl", "path": "d.jsonl"}, "split": {"holdout": 1}}
    with pytest.raises(DataError) as caught:
        prepare(
            Data.model_validate(settings),
            ("text",),
            tmp_path,
            tmp_path / "out",
            Use(refuse_long, survey=Lengths()),
        )
    assert str(caught.value).splitlines()[-2] == "All would fit into 7."
    skipping = Data.model_validate({**settings, "on_bad_rows": "skip"})
    made = prepare(skipping, ("text",), tmp_path, tmp_path / "out", Use(refuse_long, survey=Lengths()))
    assert made.certificate.notes == ("the longest has 7",)
