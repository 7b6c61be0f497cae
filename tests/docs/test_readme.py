"""What the README says is there, and works as it is written."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tunesmith.config.document import parse_yaml
from tunesmith.config.read import experiment_from

ROOT = Path(__file__).parents[2]
PAGES = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    ROOT / "benchmarks" / "README.md",
]
WHOLE: dict[str, Any] = {
    "name": "whole",
    "model": {"path": "base"},
    "data": {"source": {"kind": "jsonl", "path": "rows.jsonl"}},
    "task": {"kind": "classify", "labels": ["a", "b"], "prompt": "{text}"},
    "stages": [{"parts": {"language": "lora"}, "epochs": 1}],
}
README = (ROOT / "README.md").read_text(encoding="utf-8")


def completed(piece: Any) -> dict[str, Any]:
    """A whole experiment with this piece in it."""
    if not isinstance(piece, dict):
        return WHOLE | {"stages": piece}
    whole = WHOLE | piece
    for key in ("model", "data"):
        whole[key] = WHOLE[key] | whole[key]
    whole["stages"] = [WHOLE["stages"][0] | stage for stage in whole["stages"]]
    return whole


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_leads_to_a_file(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    local = [link for link in links if "://" not in link]
    assert [link for link in local if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_piece_of_an_experiment_is_one(page: Path) -> None:
    for text in re.findall(r"```yaml\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
        piece = parse_yaml(text, page.name).value
        experiment_from(completed(piece))


def test_the_navigation_names_every_page_once() -> None:
    listed = re.findall(r"[\w/.-]+\.md$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE)
    pages = [path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")]
    assert sorted(listed) == sorted(pages)


def test_its_table_names_every_command_and_every_recipe() -> None:
    commands = {path.stem for path in (ROOT / "src" / "tunesmith" / "cli").glob("[!_]*.py")} - {"main"}
    assert [
        name for name in commands if f"`{name}`" not in README and f"`tunesmith {name}" not in README
    ] == []
    assert [
        path.name for path in (ROOT / "recipes").glob("*.yaml") if f"recipes/{path.name}" not in README
    ] == []


def test_the_hops_to_the_loss_are_functions_of_those_files() -> None:
    hops = re.findall(r"`(\w+)`(?: \([^)]*\))? in \[[\w/]+\.py\]\((src/[\w/]+\.py)\)", README)
    assert len(hops) == 6
    for function, file in hops:
        assert re.search(rf"(def|class) {function}\(", (ROOT / file).read_text(encoding="utf-8")), (
            function,
            file,
        )


def test_the_makefile_has_the_two_commands() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert all(f"\n{command}:" in makefile for command in re.findall(r"^make (\w+)", README, re.MULTILINE))
