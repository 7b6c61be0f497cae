from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tunesmith.errors import DataError
from tunesmith.records.demo_sources.docstrings import Docstrings
from tunesmith.records.record import Record
from tunesmith.records.sources import BadRow

Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Puts a package of these files where Python finds installed ones."""
    monkeypatch.syspath_prepend(tmp_path)

    def install(name: str, version: str = "1.0", /, **files: str) -> None:
        listed = []
        for module, source in files.items():
            path = f"{name}/{module.replace('__in__', '/')}.py"
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_text(source, encoding="utf-8")
            listed.append(path)
        info = tmp_path / f"{name}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        (info / "RECORD").write_text("".join(f"{path},,\n" for path in listed))
        (info / "top_level.txt").write_text(f"{name}_module\n")

    return install


def texts(source: Docstrings) -> list[tuple[str, str]]:
    rows = list(source.rows(Path()))
    return [(row.id, row.fields["text"]) for row in rows if isinstance(row, Record)]


def test_first_paragraphs_of_public_things_only_dedented_and_folded(install: Install) -> None:
    install(
        "paintbox",
        brushes='''
def stroke(width):
    """Draw one stroke
    of   this width.

    A second paragraph.
    """

class Brush:
    """Something to draw with here."""

    def dip(self):
        """Dip it into the colour."""

    def _dry(self):
        """Nobody should see this text."""

class _Bristle:
    """Nobody should see this text."""

    def bend(self):
        """Nobody should see this text."""

async def load():
    """Fetch colours from the shop."""

def bare():
    return 1
''',
    )
    assert texts(Docstrings(packages=["paintbox"], min_words=4)) == [
        ("paintbox/brushes.py:2", "Draw one stroke of this width."),
        ("paintbox/brushes.py:9", "Something to draw with here."),
        ("paintbox/brushes.py:12", "Dip it into the colour."),
        ("paintbox/brushes.py:24", "Fetch colours from the shop."),
    ]


def test_a_module_that_says_what_it_gives_out_is_taken_at_its_word(install: Install) -> None:
    hidden = 'def hidden():\n    """Not for users of the package."""\n'
    shown = 'def shown():\n    """Meant for users of the package."""\n'
    install(
        "paintbox",
        listed=f"__all__ = ['shown']\n{hidden}{shown}",
        _inner__in__unlisted=hidden.replace("hidden", "other"),
        _inner__in__listed='__all__ = ("inner",)\ndef inner():\n    """Given out by the package itself."""\n',
        tests__in__check="def check():\n    '''A test is not part of it.'''\n",
        _vendor__in__foreign="def foreign():\n    '''Somebody else wrote this function here.'''\n",
    )
    assert texts(Docstrings(packages=["paintbox"], min_words=4)) == [
        ("paintbox/_inner/listed.py:2", "Given out by the package itself."),
        ("paintbox/listed.py:4", "Meant for users of the package."),
    ]


@pytest.mark.parametrize(
    ("said", "masked"),
    [
        ("Wrap a NumPy array", "Wrap a [library] array"),
        ("see np.mean and numpy.linalg.norm", "see [library].mean and [library].linalg.norm"),
        ("a PyTorch or torchvision model", "a [library] or [library]vision model"),
        ("as scikit-learn, sklearn.svm do", "as [library], [library].svm do"),
        ("call `plt.plot` on a pd.DataFrame", "call `[library].plot` on a [library].DataFrame"),
        ("made with_paintbox by Paintbox", "made with_[library] by [library]"),
        ("the input of a transformer", "the input of a transformer"),
    ],
)
def test_no_text_gives_its_library_away(install: Install, said: str, masked: str) -> None:
    install("paintbox", brushes=f'def stroke():\n    """{said}"""\n')
    assert texts(Docstrings(packages=["paintbox"], min_words=1)) == [("paintbox/brushes.py:1", masked)]


def test_short_texts_are_left_out_and_long_ones_end_at_the_limit(install: Install) -> None:
    install(
        "paintbox",
        brushes='def a():\n    """Too short."""\ndef b():\n    """One two three four five six."""\n',
    )
    source = Docstrings(packages=["paintbox"], min_words=4, max_words=5)
    assert texts(source) == [("paintbox/brushes.py:3", "One two three four five")]


def test_a_text_of_two_packages_has_no_true_answer_and_is_left_out(install: Install) -> None:
    same = 'def same():\n    """Says the very same thing."""\n'
    install("paintbox", brushes=same, colours='def red():\n    """Gives the colour of blood."""\n' + same)
    install("toolbox", hammers=same, nails='def nail():\n    """Joins two pieces of wood."""\n')
    rows = list(Docstrings(packages=["toolbox", "paintbox"], min_words=4).rows(Path()))
    assert [row.fields for row in rows if isinstance(row, Record)] == [
        {"text": "Joins two pieces of wood.", "library": "toolbox"},
        {"text": "Gives the colour of blood.", "library": "paintbox"},
    ]


def test_limits_hold_for_a_file_and_for_a_package(install: Install) -> None:
    module = "".join(f'def f{i}():\n    """Function number {i} of module NAME."""\n' for i in range(5))
    install("paintbox", **{name: module.replace("NAME", name) for name in ("one", "two", "three", "four")})
    all_of_it = texts(Docstrings(packages=["paintbox"], min_words=4, per_file=2))
    some = texts(Docstrings(packages=["paintbox"], min_words=4, per_file=2, per_package=5))
    assert sorted(Counter(place.split(":")[0] for place, _ in all_of_it).values()) == [2, 2, 2, 2]
    assert len(some) == 5
    assert set(some) <= set(all_of_it)


def test_a_file_that_does_not_parse_is_named_and_the_rest_is_read(install: Install) -> None:
    install("paintbox", broken="print 'hello'\n", good='def f():\n    r"""Reads \\d well enough here."""\n')
    rows = list(Docstrings(packages=["paintbox"], min_words=4).rows(Path()))
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    bad = [row for row in rows if isinstance(row, BadRow)]
    assert [row.where for row in bad] == ["paintbox/broken.py"]
    assert bad[0].why.startswith(f"does not parse as Python {version}: Missing parentheses")
    assert [row.fields["text"] for row in rows if isinstance(row, Record)] == [r"Reads \d well enough here."]


def test_a_bad_escape_in_somebody_elses_docstring_is_no_warning_of_ours(install: Install) -> None:
    install("paintbox", good='def f():\n    """Matches \\d and nothing else."""\n')
    assert len(texts(Docstrings(packages=["paintbox"], min_words=4))) == 1


def test_all_packages_that_are_not_installed_are_named_with_the_way_out(install: Install) -> None:
    install("paintbox", brushes='def f():\n    """Some words about a function."""\n')
    source = Docstrings(packages=["no-such-thing", "paintbox", "paintbox_module", "nor-this"])
    with pytest.raises(DataError) as told:
        source.fingerprint(Path())
    assert str(told.value) == (
        "docstrings: not installed: no-such-thing, paintbox_module, nor-this. Run `pip install no-such-thing "
        "paintbox_module nor-this`, or leave out of data.source.packages. ('paintbox_module' is what pip "
        "knows as 'paintbox'.)"
    )


def test_a_package_without_docstrings_is_an_error_not_an_empty_class(install: Install) -> None:
    install("paintbox", brushes="x = 1\n")
    with pytest.raises(
        DataError, match="package 'paintbox' has no public docstring of 8 or more words; leave it"
    ):
        list(Docstrings(packages=["paintbox"]).rows(Path()))


def test_another_version_is_another_fingerprint(install: Install) -> None:
    install("paintbox", "1.0", brushes="x = 1\n")
    install("toolbox", "2.5", hammers="x = 1\n")
    source = Docstrings(packages=["toolbox", "paintbox"])
    assert source.fingerprint(Path()) == "toolbox==2.5 paintbox==1.0"


def test_columns_rename_the_fields(install: Install) -> None:
    install("paintbox", brushes='def f():\n    """Some words about a function."""\n')
    source = Docstrings(packages=["paintbox"], min_words=3, columns={"question": "text"})
    rows = [row for row in source.rows(Path()) if isinstance(row, Record)]
    assert rows[0].fields == {"library": "paintbox", "question": "Some words about a function."}


@pytest.mark.slow
def test_real_numpy_gives_many_texts_that_never_say_numpy_and_are_the_same_again() -> None:
    source = Docstrings(packages=["numpy"], per_package=200)
    first, again = texts(source), texts(source)
    assert first == again
    assert len({text for _, text in first}) == len(first) == 200
    assert not [text for _, text in first if "numpy" in text.lower() or " np." in text]
    assert all(8 <= len(text.split()) <= 60 for _, text in first)
    path, line = first[0][0].split(":")
    source_line = (
        (Path(np.__file__).parents[1] / path).read_text(encoding="utf-8").splitlines()[int(line) - 1]
    )
    assert source_line.strip().startswith(("def ", "class ", "async def "))
