"""The house rules hold for every source file, and each rule finds what breaks it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.house import rules
from tests.house.pending import PENDING, PENDING_CIRCLES, PENDING_CLASSES
from tests.house.rules import Source, parse

FAMILIES = [
    source.parts[-1]
    for source in rules.all_sources()
    if source.folder == "model/families" and source.parts[-1] != "generic" and source.parts[-1][0] != "_"
]


def no_family_named(source: Source) -> Iterator[str]:
    return rules.no_family_named(source, FAMILIES or ["qwen2"])


RULES = [
    rules.one_way_doors,
    rules.short_functions,
    rules.few_parameters,
    rules.no_asking_what_it_is,
    no_family_named,
    rules.telling_names,
    rules.documented,
    rules.light_registries,
    rules.thin_commands,
    rules.standard_names,
    rules.short_summaries,
    rules.saying_docstrings,
    rules.one_way_names,
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_every_source_file_keeps_the_rule(rule: Callable[[Source], Iterator[str]]) -> None:
    pending = PENDING.get(rule.__name__, set())
    sources = [source for source in rules.all_sources() if "/".join(source.parts) not in pending]
    broken = [what for source in sources for what in rule(source)]
    assert not broken, "\n" + "\n".join(broken)


def test_no_two_files_have_a_class_of_one_name() -> None:
    doubled = [
        what
        for what in rules.classes_in_two_files(rules.all_sources())
        if what.partition(":")[0] not in PENDING_CLASSES
    ]
    assert not doubled, "\n" + "\n".join(doubled)


def test_no_files_import_each_other() -> None:
    circles = set(rules.import_circles(rules.all_sources())) - PENDING_CIRCLES
    assert not circles, "\n" + "\n".join(sorted(circles))


def test_a_class_name_in_two_files_is_found_unless_it_is_private() -> None:
    texts = {
        "split/a.py": "class Batch: ...\nclass _Run: ...",
        "train/b.py": "class Batch: ...\nclass _Run: ...",
    }
    sources = [parse(f"tunesmith/{path}", text) for path, text in texts.items()]
    assert list(rules.classes_in_two_files(sources)) == ["Batch: split/a, train/b"]
    assert not list(rules.classes_in_two_files(sources[:1]))


def test_a_circle_of_imports_is_found_within_functions_but_not_for_type_checking() -> None:
    texts = {
        "split/a.py": "def f():\n    from tunesmith.split.b import g",
        "split/b.py": "from tunesmith.split import c",
        "split/c.py": "from tunesmith.split.a import f",
        "split/d.py": "from tunesmith.split.a import f\nif TYPE_CHECKING:\n    from tunesmith.split.e import h",
        "split/e.py": "from tunesmith.split.d import x",
    }
    sources = [parse(f"tunesmith/{path}", text) for path, text in texts.items()]
    assert list(rules.import_circles(sources)) == [
        "tunesmith.split.a",
        "tunesmith.split.b",
        "tunesmith.split.c",
    ]


def test_no_settings_class_is_wider_than_a_page() -> None:
    wide = [what for settings in settings_classes() for what in too_wide(settings)]
    assert len(settings_classes()) > 10
    assert not wide, wide


def test_every_source_file_has_a_test_file_of_its_name() -> None:
    missing = [
        str(rules.test_file_of(source))
        for source in rules.all_sources()
        if source.path.stem not in ("__init__", "__main__")
        and not (rules.TESTS / rules.test_file_of(source)).exists()
    ]
    assert not missing, "\n" + "\n".join(missing)


def test_reading_an_experiment_or_showing_help_loads_nothing_heavy() -> None:
    code = (
        "import sys, importlib, pkgutil\n"
        "import tunesmith.config.read, tunesmith.config.experiment, tunesmith.cli.main\n"
        "tunesmith.cli.main.application()\n"
        f"for room in {[registry.replace('/', '.') for registry in rules.REGISTRIES]}:\n"
        "    package = importlib.import_module('tunesmith.' + room)\n"
        "    for module in pkgutil.iter_modules(package.__path__):\n"
        "        if not module.name.startswith('_'):\n"
        "            importlib.import_module(package.__name__ + '.' + module.name)\n"
        f"print(sorted({rules.HEAVY} & set(sys.modules)))"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "[]"


def settings_classes() -> list[type]:
    from tunesmith.config.experiment import Experiment
    from tunesmith.config.settings import Settings

    assert issubclass(Experiment, Settings)
    waiting, found = [Settings], []
    while waiting:
        children = [one for one in waiting.pop().__subclasses__() if one.__module__.startswith("tunesmith.")]
        waiting += children
        found += children
    return found


def too_wide(settings: Any) -> Iterator[str]:
    count = len(settings.model_fields)
    if count > rules.MOST_FIELDS:
        yield f"{settings.__module__}.{settings.__name__} has {count} fields, more than {rules.MOST_FIELDS}"


BAD = [
    (
        rules.one_way_doors,
        "split/a.py",
        "def f():\n    from tunesmith.model import load",
        "split must not import tunesmith.model",
    ),
    (rules.one_way_doors, "split/a.py", "from tunesmith import cli", "split must not import tunesmith.cli"),
    (rules.one_way_doors, "metrics/a.py", "import tunesmith.records.record", "metrics must not import"),
    (rules.one_way_doors, "attic/a.py", "", "no place among the doors"),
    (rules.short_functions, "split/a.py", "def f():\n" + "    x = 1\n" * 60, "f has 61 lines"),
    (rules.few_parameters, "split/a.py", "def f(a,b,c,d,e,f,g,*,h,i,j): ...", "10 parameters"),
    (rules.no_asking_what_it_is, "train/a.py", "x = hasattr(y, 'z')", "hasattr outside"),
    (rules.no_asking_what_it_is, "train/a.py", "map(getattr, x)", "getattr outside"),
    (rules.telling_names, "split/text_utils.py", "", "'utils' does not say"),
    (rules.telling_names, "common/a.py", "", "'common' does not say"),
    (rules.documented, "split/a.py", "x = 1", "no docstring"),
    (rules.light_registries, "methods/a.py", "import torch.nn", "imports torch.nn at its top"),
    (
        rules.light_registries,
        "records/sources/a.py",
        "try:\n    from datasets import x\nexcept E: ...",
        "imports datasets",
    ),
    (rules.light_registries, "tasks/a.py", "import numpy as np", "imports numpy"),
    (rules.light_registries, "cli/a.py", "from transformers import x", "imports transformers"),
    (rules.standard_names, "train/a.py", "def f(of_x): ...", "'of_x' does not say"),
    (rules.standard_names, "train/a.py", "lambda one: one", "'one' does not say"),
    (rules.standard_names, "train/a.py", "class A:\n    whole: int", "'whole' does not say"),
    (rules.standard_names, "train/a.py", "class A:\n    def _told(self): ...", "'_told' does not say"),
    (rules.standard_names, "train/a.py", "x.found = 1", "'found' does not say"),
    (rules.short_summaries, "train/a.py", f'def f():\n    """{"so " * 21}."""', "has 22 words"),
    (
        rules.saying_docstrings,
        "train/a.py",
        'def f():\n    """See `fused.normalised`."""',
        "only points elsewhere",
    ),
    (
        rules.one_way_names,
        "split/a.py",
        "x = Registry('tunesmith.tasks')",
        "must not import tunesmith.tasks by name",
    ),
    (rules.thin_commands, "cli/a.py", "class A: ...", "class A belongs"),
    (rules.thin_commands, "cli/a.py", "def f():\n" + "    x = 1\n" * 40, "f has 41 lines"),
]

GOOD = [
    (
        rules.one_way_doors,
        "train/a.py",
        "from tunesmith.batching.batch import Batch\nfrom tunesmith import __version__",
    ),
    (rules.one_way_doors, "split/a.py", "if TYPE_CHECKING:\n    from tunesmith.model import load"),
    (rules.one_way_doors, "split/a.py", "from tunesmith.records.record import Record"),
    (rules.short_functions, "split/a.py", "def f():\n" + "    x = 1\n" * 59),
    (rules.few_parameters, "split/a.py", "class A:\n    def f(self,a,b,c,d,e,f,g,h,i): ..."),
    (rules.no_asking_what_it_is, "model/families/a.py", "hasattr(y, 'z')"),
    (rules.standard_names, "train/a.py", "def f(grad_x, only_one): ..."),
    (rules.standard_names, "train/a.py", "one = [found for found in told]"),
    (rules.short_summaries, "train/a.py", f'def f():\n    """{"so " * 19}.\n\n    {"so " * 40}"""'),
    (rules.saying_docstrings, "train/a.py", 'def f():\n    """The sum of x. See `g`."""'),
    (rules.one_way_names, "train/a.py", "x = Registry('tunesmith.tasks')"),
    (rules.one_way_names, "config/experiment.py", "x = Registry('tunesmith.tasks')"),
    (rules.light_registries, "methods/a.py", "def f():\n    import torch"),
    (rules.light_registries, "methods/a.py", "if TYPE_CHECKING:\n    import torch"),
    (rules.light_registries, "metrics/a.py", "import numpy as np"),
    (rules.light_registries, "evaluate/engines/_inner.py", "import torch"),
    (rules.light_registries, "train/loss.py", "import torch"),
]


@pytest.mark.parametrize(("rule", "path", "text", "what"), BAD)
def test_a_rule_finds_what_breaks_it(
    rule: Callable[[Source], Iterator[str]], path: str, text: str, what: str
) -> None:
    found = list(rule(parse(f"tunesmith/{path}", text)))
    assert len(found) == 1, found
    assert what in found[0]


@pytest.mark.parametrize(("rule", "path", "text"), GOOD)
def test_a_rule_leaves_alone_what_is_right(
    rule: Callable[[Source], Iterator[str]], path: str, text: str
) -> None:
    assert list(rule(parse(f"tunesmith/{path}", text))) == []


@pytest.mark.parametrize(
    "text",
    ["x = 'qwen2'", "load('Qwen/Qwen2.5-7B')", "Qwen2ForCausalLM(config)", "import a.qwen2", "f'qwen2 {x}'"],
)
def test_a_family_named_outside_its_folder_is_found(text: str) -> None:
    assert len(list(rules.no_family_named(parse("tunesmith/train/a.py", text), ["qwen2"]))) == 1
    assert not list(rules.no_family_named(parse("tunesmith/model/families/a.py", text), ["qwen2"]))


def test_a_docstring_may_name_a_family() -> None:
    text = '"""For Qwen2."""\nclass A:\n    """As qwen2 has it."""\n    x: int\n    """As in qwen2."""\n'
    assert not list(rules.no_family_named(parse("tunesmith/train/a.py", text), ["qwen2"]))


def test_a_settings_class_with_too_many_fields_is_found() -> None:
    from tunesmith.config.settings import Settings

    wide = type("Wide", (Settings,), {"__annotations__": {f"x{n}": int for n in range(16)}})
    assert "16 fields" in next(too_wide(wide))
