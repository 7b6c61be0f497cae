from __future__ import annotations

import json
from pathlib import Path

from tunesmith.runs.manifest import MANIFEST, DedupFields, LeakSummary, Manifest


def test_the_fields_of_a_split_keep_the_key_that_earlier_versions_wrote(tmp_path: Path) -> None:
    manifest = Manifest("ab", {"train": 1}, fields=DedupFields(("text",), required=True))
    MANIFEST.write(tmp_path, manifest)
    assert json.loads((tmp_path / "manifest.json").read_text())["told"]["by"] == ["text"]
    assert MANIFEST.read(tmp_path) == manifest


def test_a_manifest_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    leaks = {"action": "drop", "near": 0.9, "pictures": 0.93, "examples": [["a:1", "a:2", "same text"]]}
    values = {"checksum": "ab", "counts": {"train": 9}, "leaks": leaks, "bad_rows": {"count": 0, "first": []}}
    (tmp_path / "manifest.json").write_text(json.dumps(values))
    manifest = MANIFEST.require(tmp_path)
    assert manifest.leaks == LeakSummary("drop", 0.9, 0.93, examples=(("a:1", "a:2", "same text"),))
    assert not manifest.has_pictures
