"""The rules of the house, each a function from one parsed source file to what breaks the rule there."""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

SOURCES = Path(__file__).parents[2] / "src"
TESTS = Path(__file__).parents[1]

LEVELS = (
    {"__main__"},
    {"cli"},
    {"api"},
    {"pipeline"},
    {"report", "deploy", "forecast", "audit", "doctor"},
    {"train", "evaluate"},
    {"tasks", "model"},
    {"kernels"},
    {"precision"},
    {"methods"},
    {"batching"},
    {"split"},
    {"records"},
    {"images"},
    {"runs", "metrics"},
    {"config"},
    {"files"},
    {"errors"},
)
"""Rooms from left to right: imports go to the right only."""

REGISTRIES = (
    *("tasks", "methods", "metrics", "records/sources", "records/demo_sources", "evaluate/engines"),
    "train/observers",
    "precision/formats",
)
HEAVY = {
    *(
        "torch",
        "transformers",
        "peft",
        "datasets",
        "pandas",
        "sklearn",
        "scipy",
        "bitsandbytes",
        "matplotlib",
    ),
    *("pyarrow", "safetensors", "tokenizers", "wandb", "tensorboard", "trackio", "datasketch", "rouge_score"),
}
SLOW = {"numpy", "jaxtyping", "psutil"}
"""Not heavy, but too slow for what is loaded with every experiment file; metrics are not."""
VAGUE = {"util", "utils", "helper", "helpers", "common", "manager", "managers", "misc", "new", "old", "v2"}

MOST_LINES, MOST_PARAMETERS, MOST_FIELDS, MOST_COMMAND_LINES = 60, 9, 15, 40

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Source:
    """One source file: its path below `src/`, and its syntax tree."""

    path: Path
    tree: ast.Module

    @property
    def parts(self) -> tuple[str, ...]:
        """Folders and name inside the package, without the suffix."""
        return self.path.with_suffix("").parts[1:]

    @property
    def room(self) -> str:
        return self.parts[0]

    @property
    def folder(self) -> str:
        return "/".join(self.parts[:-1])

    def at(self, node: ast.AST, what: str) -> str:
        return f"{self.path}:{node.lineno}: {what}"  # type: ignore[attr-defined]


def parse(path: str | Path, text: str) -> Source:
    return Source(Path(path), ast.parse(text))


@cache
def all_sources() -> list[Source]:
    files = sorted((SOURCES / "tunesmith").rglob("*.py"))
    return [parse(file.relative_to(SOURCES), file.read_text(encoding="utf-8")) for file in files]


def one_way_doors(source: Source) -> Iterator[str]:
    if source.parts[0] == "__init__":
        return
    own = level_of(source.room)
    if own is None:
        yield f"{source.path}: room {source.room!r} has no place among the doors"
        return
    for node, target in imports(source.tree):
        parts = target.split(".")
        if parts[0] != "tunesmith" or len(parts) == 1 or parts[1] in (source.room, "__version__"):
            continue
        there = level_of(parts[1])
        if there is None or there <= own:
            yield source.at(node, f"{source.room} must not import {target}")


def level_of(room: str) -> int | None:
    return next((index for index, level in enumerate(LEVELS) if room in level), None)


def short_functions(source: Source) -> Iterator[str]:
    for function in functions(source.tree):
        lines = length(function)
        if lines > MOST_LINES:
            yield source.at(function, f"{function.name} has {lines} lines, more than {MOST_LINES}")


def few_parameters(source: Source) -> Iterator[str]:
    for function in functions(source.tree):
        if any(ast.unparse(one) == "triton.jit" for one in function.decorator_list):
            continue  # A kernel is given pointers and sizes one by one.
        given = function.args
        names = [one.arg for one in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
        count = len(names) - (names[:1] in (["self"], ["cls"]))
        if count > MOST_PARAMETERS:
            yield source.at(function, f"{function.name} has {count} parameters, more than {MOST_PARAMETERS}")


def no_asking_what_it_is(source: Source) -> Iterator[str]:
    if source.folder == "model/families":
        return
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Name) and node.id in ("getattr", "hasattr"):
            yield source.at(node, f"{node.id} outside model/families")


def no_family_named(source: Source, families: list[str]) -> Iterator[str]:
    """Families are named in no string or identifier outside their folder. Docstrings may name them."""
    if source.folder == "model/families":
        return
    docstrings = {
        id(node.value)
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(source.tree):
        for text in () if id(node) in docstrings else words_of(node):
            named = next((family for family in families if family in text.lower()), None)
            if named:
                yield source.at(node, f"names the family {named!r} in {text!r}")


def words_of(node: ast.AST) -> Iterator[str]:
    """The strings and identifiers that a node itself holds."""
    match node:
        case ast.Constant(value=str() as text):
            yield text
        case ast.Name(id=name) | ast.Attribute(attr=name) | ast.alias(name=name):
            yield name
        case ast.ImportFrom(module=str() as name):
            yield name
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            yield name


def telling_names(source: Source) -> Iterator[str]:
    for part in source.parts:
        vague = VAGUE & set(part.lower().split("_"))
        if vague:
            yield f"{source.path}: {vague.pop()!r} does not say what is inside"


def documented(source: Source) -> Iterator[str]:
    if not ast.get_docstring(source.tree):
        yield f"{source.path}: has no docstring"


def light_registries(source: Source) -> Iterator[str]:
    """What is imported when an experiment file is read, or for `tunesmith --help`, imports nothing heavy.

    Private modules of a registry are no items; whether an item imports one at its top is told by importing it.
    """
    is_item = source.folder in REGISTRIES and not source.path.name.startswith("_")
    if not is_item and source.room not in ("config", "cli", "errors"):
        return
    heavy = HEAVY if source.folder == "metrics" else HEAVY | SLOW
    for node, target in imports(source.tree, inside_functions=False):
        if target.split(".")[0] in heavy:
            yield source.at(node, f"imports {target} at its top; import it where it is used")


def thin_commands(source: Source) -> Iterator[str]:
    if source.room != "cli":
        return
    for node in ast.walk(source.tree):
        if isinstance(node, ast.ClassDef):
            yield source.at(node, f"a command decides nothing: class {node.name} belongs into another room")
        elif isinstance(node, Function) and length(node) > MOST_COMMAND_LINES:
            yield source.at(
                node, f"{node.name} has {length(node)} lines, more than {MOST_COMMAND_LINES} in cli/"
            )


PRIVATE_WORDS = re.compile(r"_*(of_\w+|told|found|one|whole)")
MOST_WORDS = 20


def standard_names(source: Source) -> Iterator[str]:
    """Parameters, fields, attributes and methods are not named by the project's former private words."""
    for node in ast.walk(source.tree):
        for name in _names_given(node):
            if PRIVATE_WORDS.fullmatch(name):
                yield source.at(node, f"{name!r} does not say what it is")


def _names_given(node: ast.AST) -> Iterator[str]:
    """The parameters, fields, methods or attributes that a node defines."""
    if isinstance(node, Function | ast.Lambda):
        given = node.args
        yield from (argument.arg for argument in (*given.posonlyargs, *given.args, *given.kwonlyargs))
    elif isinstance(node, ast.ClassDef):
        for inner in node.body:
            if isinstance(inner, ast.AnnAssign) and isinstance(inner.target, ast.Name):
                yield inner.target.id
            elif isinstance(inner, Function):
                yield inner.name
    elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
        yield node.attr


def short_summaries(source: Source) -> Iterator[str]:
    """The first line of a docstring has at most 20 words."""
    for node, text in _docstrings(source.tree):
        words = len(text.partition("\n")[0].split())
        if words > MOST_WORDS:
            yield source.at(
                node, f"the first line of the docstring has {words} words, more than {MOST_WORDS}"
            )


def saying_docstrings(source: Source) -> Iterator[str]:
    """A docstring says what there is to say, and does not only point elsewhere."""
    for node, text in _docstrings(source.tree):
        if re.fullmatch(r"See [^.]*(\.\w[^.]*)*\.?", text.strip()):
            yield source.at(node, f"the docstring only points elsewhere: {text.strip()!r}")


def _docstrings(tree: ast.Module) -> Iterator[tuple[ast.AST, str]]:
    for node in ast.walk(tree):
        if isinstance(node, Function | ast.ClassDef) and (text := ast.get_docstring(node)):
            yield node, text


BY_NAME = {
    "config/experiment": "the registries of an experiment's sources, tasks, methods, engines and observers",
    "config/reference": "the same, for the page of all settings",
}
"""Files that name modules of rooms to their left as text, to import them when an experiment file does, and which."""


def one_way_names(source: Source) -> Iterator[str]:
    """Modules that are imported by name at run time are in the same room or to its right, as those imported at once."""
    own = level_of(source.room)
    if own is None or "/".join(source.parts) in BY_NAME:
        return
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            match = re.fullmatch(r"tunesmith\.(\w+)(\.\w+)*", node.value)
            there = level_of(match[1]) if match and match[1] != source.room else None
            if there is not None and there <= own:
                yield source.at(node, f"{source.room} must not import {node.value} by name")


def classes_in_two_files(sources: Iterable[Source]) -> Iterator[str]:
    """Every public class has a name of its own."""
    files: dict[str, list[str]] = {}
    for source in sources:
        for node in ast.walk(source.tree):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                files.setdefault(node.name, []).append("/".join(source.parts))
    yield from (f"{name}: {', '.join(sorted(places))}" for name, places in files.items() if len(places) > 1)


def import_circles(sources: Iterable[Source]) -> Iterator[str]:
    """Files that import each other, directly or through others, within functions too."""
    known = {".".join(("tunesmith", *source.parts)).removesuffix(".__init__"): source for source in sources}
    targets = {
        name: {target for target in _modules(source, known) if target != name}
        for name, source in known.items()
    }
    settled: set[str] = set()
    for start in sorted(known):
        reached, waiting = set(), [*targets[start]]
        while waiting:
            name = waiting.pop()
            if name not in reached and name not in settled:
                reached.add(name)
                waiting += targets[name]
        if start in reached:
            yield start
        else:
            settled.add(start)


def _modules(source: Source, known: Collection[str]) -> Iterator[str]:
    """The modules of this project that a file imports, but not under TYPE_CHECKING."""
    for node, target in imports(source.tree):
        if isinstance(node, ast.ImportFrom):
            inner = [f"{target}.{alias.name}" for alias in node.names]
            yield from (name for name in inner if name in known)
            if target in known and not all(name in known for name in inner):
                yield target
        elif target in known:
            yield target


def test_file_of(source: Source) -> Path:
    """Where the tests of a source file stand, below `tests/`."""
    return Path(*source.parts[:-1], f"test_{source.parts[-1].lstrip('_')}.py")


def imports(tree: ast.Module, inside_functions: bool = True) -> Iterator[tuple[ast.AST, str]]:
    """Every module that is imported, also inside functions if asked for, but not under TYPE_CHECKING."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            waiting += node.orelse
            continue
        if isinstance(node, Function) and not inside_functions:
            continue
        if isinstance(node, ast.Import):
            yield from ((node, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from imported_from(node)
        waiting += ast.iter_child_nodes(node)


def imported_from(node: ast.ImportFrom) -> Iterator[tuple[ast.AST, str]]:
    """`from tunesmith import data` imports tunesmith.data; relative imports count as the room's own."""
    if node.module == "tunesmith":
        yield from ((node, f"tunesmith.{alias.name}") for alias in node.names)
    elif node.module and not node.level:
        yield node, node.module


def functions(tree: ast.Module) -> Iterator[Function]:
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def length(function: Function) -> int:
    return (function.end_lineno or function.lineno) - function.lineno + 1
