"""What installed Python packages say of their own functions and classes: from which library is a text?

Real text with true labels that is on every machine. The packages' files are parsed, never imported.
"""

from __future__ import annotations

import ast
import hashlib
import re
import sys
import warnings
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution, packages_distributions
from itertools import chain, islice
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from tunesmith.errors import DataError
from tunesmith.records.record import Record
from tunesmith.records.sources import BadRow, Source
from tunesmith.records.sources._rows import row

MASK = "[library]"
ALIASES = {
    "jax": ("jnp",),
    "matplotlib": ("mpl", "plt", "pylab", "pyplot"),
    "networkx": ("nx",),
    "numpy": ("np",),
    "pandas": ("pd",),
    "scikit-learn": ("sklearn", "scikit learn", "scikit"),
    "scipy": (),
    "sympy": (),
    "tensorflow": ("tf",),
    "torch": ("pytorch",),
    "transformers": (),
}
"""Names that give a library away, beside the package's own. All are masked in every text."""
FOREIGN = re.compile(r"(^|/)(tests?|testing|conftest|_?vendor(ed)?|externals?)[./]|(^|/)test_")
"""Paths of a package's tests, and of code of others that it carries along."""
INNER = re.compile(r"(^|/)_\w+/")
"""Paths in a package's inner folders, where only what a module lists in `__all__` is meant for users."""


_Documented = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class _Text:
    """The first paragraph of one docstring, with where it stands."""

    library: str
    path: str
    line: int
    text: str


class Docstrings(Source):
    """First paragraphs of installed packages' docstrings: `text`, library names masked, and `library`."""

    kind: Literal["docstrings"] = "docstrings"
    packages: Annotated[list[str], Field(min_length=1)]
    """Installed packages, by the names that pip knows."""
    per_package: Annotated[int, Field(ge=1)] = 400
    """Most texts of one package."""
    per_file: Annotated[int, Field(ge=1)] = 8
    """Most texts of one file, so that no long one stands for its library."""
    min_words: Annotated[int, Field(ge=1)] = 8
    """Shorter texts are left out."""
    max_words: Annotated[int, Field(ge=1)] = 60
    """Words after these are left out."""

    def rows(self, base: Path) -> Iterator[Record | BadRow]:
        """Texts by package in the given order, then by path and line. One that two packages share is left
        out; a file that does not parse is a bad row. DataError names all packages that are not installed, and
        one that has no texts."""
        installed = _installed(self.packages)
        mask = _library_names(self.packages)
        first: dict[str, _Text] = {}
        shared: set[str] = set()
        for package, itself in installed.items():
            taken = 0
            for found in self._texts(package, itself, mask):
                if isinstance(found, BadRow):
                    yield found
                else:
                    taken += 1
                    if first.setdefault(found.text, found).library != package:
                        shared.add(found.text)
            if not taken:
                raise DataError(
                    f"docstrings: package {package!r} has no public docstring of {self.min_words} or more "
                    "words; leave it out of data.source.packages"
                )
        for text in sorted(
            first.values(), key=lambda text: (self.packages.index(text.library), text.path, text.line)
        ):
            if text.text not in shared:
                fields = {"text": text.text, "library": text.library}
                yield row(f"{text.path}:{text.line}", fields, self.columns)

    def fingerprint(self, base: Path) -> str:
        """Versions of the packages."""
        return " ".join(
            f"{package}=={itself.version}" for package, itself in _installed(self.packages).items()
        )

    def _texts(
        self, package: str, installed: Distribution, mask: re.Pattern[str]
    ) -> Iterator[_Text | BadRow]:
        """At most `per_package` different texts, from files spread over the package."""
        taken: set[str] = set()
        for path, file in _files(installed):
            try:
                found = list(_first_paragraphs(path, file))
            except (SyntaxError, ValueError) as error:
                version = ".".join(map(str, sys.version_info[:2]))
                yield BadRow(path, f"does not parse as Python {version}: {error}")
                continue
            fresh: dict[str, int] = {}
            for paragraph, line in found:
                words = mask.sub(MASK, paragraph).split()
                text = " ".join(words[: self.max_words])
                if len(words) >= self.min_words and text not in taken:
                    fresh.setdefault(text, line)
            for text, line in islice(fresh.items(), min(self.per_file, self.per_package - len(taken))):
                taken.add(text)
                yield _Text(package, path, line, text)
            if len(taken) == self.per_package:
                return


def _installed(packages: Sequence[str]) -> dict[str, Distribution]:
    """What is installed, by package; DataError names all that is not."""
    installed: dict[str, Distribution] = {}
    missing = []
    for package in packages:
        try:
            installed[package] = distribution(package)
        except (PackageNotFoundError, ValueError):
            missing.append(package)
    if missing:
        raise DataError(
            f"docstrings: not installed: {', '.join(missing)}. Run `pip install {' '.join(missing)}`, "
            f"or leave out of data.source.packages.{_names_for_pip(missing)}"
        )
    return installed


def _names_for_pip(missing: Sequence[str]) -> str:
    """A hint for packages that were named as they are imported, not as they are installed."""
    known = packages_distributions()
    hints = [f"{name!r} is what pip knows as {known[name][0]!r}" for name in missing if name in known]
    return f" ({'; '.join(hints)}.)" if hints else ""


def _library_names(packages: Sequence[str]) -> re.Pattern[str]:
    """Matches every name that gives a library away: a long one also within a word (`PyTorch`, `to_numpy`),
    a short one only where no other letter stands beside it (`np.mean`)."""
    names = {name.lower() for name in chain(packages, ALIASES, *ALIASES.values())}
    names |= {name.replace("-", "_") for name in names}
    ordered = sorted(names, key=lambda name: (-len(name), name))
    long = "|".join(re.escape(name) for name in ordered if len(name) > 4)
    short = "|".join(re.escape(name) for name in ordered if len(name) <= 4)
    return re.compile(rf"{long}|(?<![a-z])(?:{short})(?![a-z])", re.IGNORECASE)


def _files(installed: Distribution) -> Iterator[tuple[str, Path]]:
    """Python files and their paths in the installation, in an order that mixes folders and never changes."""
    paths = {path.as_posix(): path for path in installed.files or () if path.suffix == ".py"}
    own = [path for path in paths if not FOREIGN.search(path)]
    for path in sorted(own, key=lambda path: hashlib.sha256(path.encode()).digest()):
        file = Path(str(paths[path].locate()))
        if file.is_file():
            yield path, file


def _first_paragraphs(path: str, file: Path) -> Iterator[tuple[str, int]]:
    """First paragraph and line of every public class, function and method that has a docstring."""
    source = file.read_bytes()
    if INNER.search(path) and b"__all__" not in source:
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # other people's docstrings hold invalid escapes
        tree = ast.parse(source)
    for node in _public(tree.body, _exported(tree)):
        docstring = ast.get_docstring(node)
        if docstring:
            yield docstring.partition("\n\n")[0], node.lineno


def _public(nodes: Iterable[ast.stmt], exported: Container[str] | None = None) -> Iterator[_Documented]:
    for node in nodes:
        if isinstance(node, _Documented) and not node.name.startswith("_"):
            if exported is not None and node.name not in exported:
                continue
            yield node
            if isinstance(node, ast.ClassDef):
                yield from _public(node.body)


def _exported(tree: ast.Module) -> set[Any] | None:
    """What a module lists in `__all__`, or None if it has no such list."""
    for node in tree.body:
        match node:
            case ast.Assign(
                targets=[ast.Name("__all__")], value=ast.List(elts=names) | ast.Tuple(elts=names)
            ):
                return {name.value for name in names if isinstance(name, ast.Constant)}
    return None
