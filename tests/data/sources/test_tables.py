from datetime import UTC, datetime
from decimal import Decimal

import pyarrow as pa

from tunesmith.data.record import Record
from tunesmith.data.sources import BadRow
from tunesmith.data.sources._tables import plain, readable, rows_of_batch


def test_values_that_json_does_not_know_become_ones_that_it_does():
    odd = {"when": datetime(2026, 1, 31, tzinfo=UTC), "price": Decimal("1.10"), "scores": [float("nan"), 1.5]}
    assert plain(odd) == {"when": "2026-01-31T00:00:00+00:00", "price": "1.10", "scores": [None, 1.5]}


def test_columns_of_bytes_are_left_out_also_inside_others():
    picture = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    schema = pa.schema([("text", pa.string()), ("image", picture), ("raw", pa.large_binary())])
    assert readable(schema) == ["text"]


def test_text_that_is_not_utf8_is_a_bad_row_alone():
    broken = pa.array([b"good", b"\xff", b"fine"]).view(pa.string())
    rows = list(rows_of_batch("t", 1, pa.record_batch({"a": broken}), {}))
    assert rows == [
        Record("t:1", {"a": "good"}),
        BadRow("t:2", "holds text that is not UTF-8."),
        Record("t:3", {"a": "fine"}),
    ]
