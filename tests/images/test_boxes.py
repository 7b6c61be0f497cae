from __future__ import annotations

from tunesmith.images.boxes import Box


def test_a_box_stands_in_rows_as_its_label_and_corners() -> None:
    assert Box("cat", (0.0, 0.25, 0.5, 1.0)).to_json() == {"label": "cat", "corners": [0.0, 0.25, 0.5, 1.0]}
