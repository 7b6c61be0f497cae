"""The page of all settings says what the grammar says."""

from __future__ import annotations

from pathlib import Path

from tests.house.test_house import settings_classes
from tunesmith.config.grammar import kind_of
from tunesmith.config.reference import reference

PAGE = Path(__file__).parents[2] / "docs" / "settings.md"


def test_the_page_in_docs_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == reference(), "run: python -m tunesmith.config.reference"


def test_every_kind_has_a_section_and_every_setting_a_row() -> None:
    page = reference()
    for settings in settings_classes():
        if settings.__module__.startswith("tunesmith.") and "kind" in settings.model_fields:  # type: ignore[attr-defined]
            kind = kind_of(settings)
            assert kind is None or f"kind: {kind}`" in page or f"of kind `{kind}`" in page
    assert "| `from` | `previous`, `base` | `previous` | Start from what the stage before left" in page
    assert "| `checkpoints` | see below | as below |" in page
    assert "## `stages.N.optimizer`" in page
    assert "| `betas` | 2 of: number | `[0.9, 0.999]` |" in page


def test_no_row_breaks_the_table() -> None:
    rows = [line for line in reference().splitlines() if line.startswith("| `")]
    assert len(rows) > 60
    assert all(row.replace("\\|", "").count("|") == 5 for row in rows)
