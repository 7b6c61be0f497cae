"""What the README says is there, and works as it is written."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tunesmith.config.document import parse_yaml
from tunesmith.config.read import experiment_from
from tunesmith.config.registry import Registry

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_to_a_file(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    local = [link for link in links if "://" not in link]
    assert [link for link in local if not (page.parent / link).exists()] == []


def test_its_experiment_is_one() -> None:
    (text,) = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
    experiment = experiment_from(parse_yaml(text, "README.md").value)
    assert list(experiment.variants) == ["lora", "qlora"]


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


def test_the_changelog_names_every_tracker() -> None:
    known = {"tensorboard": "TensorBoard", "wandb": "Weights & Biases", "trackio": "trackio"}
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert all(known[kind] in changes for kind in Registry("tunesmith.train.observers").kinds())
