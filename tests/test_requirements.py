"""What pyproject.toml allows is what the constraint files install."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
NEEDED = [
    Requirement(text)
    for text in [
        *PROJECT["dependencies"],
        *(text for name in EXTRAS if name != "docs" for text in EXTRAS[name]),
    ]
]
ON_A_GPU_ALONE = {"liger-kernel"}


def pins(name: str) -> dict[str, Version]:
    text = (ROOT / name).read_text(encoding="utf-8")
    return {
        canonicalize_name(package): Version(version)
        for package, version in re.findall(r"^([\w.-]+)==(\S+)$", text, re.MULTILINE)
    }


def lower_bounds() -> dict[str, Version]:
    return {
        canonicalize_name(needed.name): Version(limit.version)
        for needed in NEEDED
        for limit in needed.specifier
        if limit.operator == ">=" and needed.name not in ON_A_GPU_ALONE
    }


def test_every_lower_bound_is_what_make_lowest_installs() -> None:
    lowest = pins("constraints-lowest.txt")
    for name, bound in lower_bounds().items():
        if name != "torch":
            # 0.22 is 0.22.1 where there never was a 0.22.0.
            assert lowest[name].release[: len(bound.release)] == bound.release, name


def test_the_known_versions_are_allowed() -> None:
    newest = pins("constraints-cpu.txt")
    allowed = {canonicalize_name(needed.name): needed.specifier for needed in NEEDED}
    for name in newest.keys() & allowed.keys():
        assert newest[name] in allowed[name], name


def test_every_dependency_has_a_lower_bound() -> None:
    bounded = set(lower_bounds()) | ON_A_GPU_ALONE | {"tunesmith"}
    assert [needed.name for needed in NEEDED if canonicalize_name(needed.name) not in bounded] == []
