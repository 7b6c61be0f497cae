from datetime import UTC, datetime
from decimal import Decimal

import pyarrow as pa

from tunesmith.records.record import Record
from tunesmith.records.sources import BadRow
from tunesmith.records.sources._tables import (
    ROWS_AT_ONCE,
    columns_of,
    plain,
    readable,
    rows_at_once,
    rows_of_batch,
)


def test_values_that_json_does_not_know_become_ones_that_it_does():
    odd = {"when": datetime(2026, 1, 31, tzinfo=UTC), "price": Decimal("1.10"), "scores": [float("nan"), 1.5]}
    assert plain(odd) == {"when": "2026-01-31T00:00:00+00:00", "price": "1.10", "scores": [None, 1.5]}


def test_columns_of_bytes_are_left_out_also_inside_others():
    picture = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    schema = pa.schema([("text", pa.string()), ("image", picture), ("raw", pa.large_binary())])
    assert readable(schema) == ["text"]
    assert readable(schema, {"image"}) == ["text", "image"]


def test_rows_read_at_once_are_fewer_the_larger_they_are():
    assert rows_at_once(num_bytes=10**6, num_rows=10**5) == ROWS_AT_ONCE
    assert rows_at_once(num_bytes=2**30, num_rows=1024) == 16
    assert rows_at_once(num_bytes=2**40, num_rows=2) == 1
    assert rows_at_once(num_bytes=0, num_rows=0) in range(1, ROWS_AT_ONCE + 1)
    assert columns_of(("image", "text"), {"image": "picture"}) == {"picture", "text"}


def test_text_that_is_not_utf8_is_a_bad_row_alone():
    broken = pa.array([b"good", b"\xff", b"fine"]).view(pa.string())
    rows = list(rows_of_batch("t", 1, pa.record_batch({"a": broken}), {}))
    assert rows == [
        Record("t:1", {"a": "good"}),
        BadRow("t:2", "holds text that is not UTF-8."),
        Record("t:3", {"a": "fine"}),
    ]
