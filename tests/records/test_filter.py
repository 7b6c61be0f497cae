import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunesmith.errors import DataError, ExperimentError
from tunesmith.records.filter import compile_filter
from tunesmith.records.record import Record


def holds(text, **fields):
    return compile_filter(text)(Record("f:7", fields))


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("stage == 2", True),
        ("stage != 2", False),
        ("2 == stage", True),
        ("stage in [1, 3]", False),
        ("stage not in [1, 3]", True),
        ("kind == 'a b' and stage >= 2", True),
        ("kind == 'x' or not stage < 2", True),
        ("not (kind == 'a b' or stage == 2)", False),
        ("done == true and empty == null", True),
        ("done != False and empty == None", True),
        ("meta.depth > -1.5", True),
        ("'a' in tags", True),
        ("'b' in kind", True),
        ("count == 12", True),
        ("count < 13", True),
        ("stage == '2'", True),
        ("stage == kind", False),
    ],
)
def test_conditions_hold_as_they_read(text, wanted):
    fields = {
        "stage": 2,
        "kind": "a b",
        "done": True,
        "empty": None,
        "meta": {"depth": 0},
        "tags": ["a"],
        "count": "12.0",
    }
    assert holds(text, **fields) is wanted


@given(st.integers(-5, 5), st.integers(-5, 5), st.sampled_from(["==", "!=", "<", "<=", ">", ">="]))
def test_comparisons_agree_with_python(value, bound, sign):
    assert holds(f"n {sign} {bound}", n=value) == eval(f"{value} {sign} {bound}")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "stage = 2",
            r"where: 'stage = 2' is not a condition \(.*\)\. Possible: field == value, .* and parentheses\.",
        ),
        ("stage ==", "is not a condition"),
        ("", "is not a condition"),
        ("stage", "'stage' cannot stand here"),
        (
            "__import__('os').system('x') == 0",
            r"names no field in '__import__.*' cannot|names no field|cannot stand here",
        ),
        ("len(text) > 3", r"names no field in 'len\(text\)'"),
        ("stage == f(2)", r"'f\(2\)' cannot stand here"),
        ("[x for x in y] == stage", "cannot stand here"),
        ("1 < stage < 3", "cannot stand here"),
        ("1 == 1", "names no field in '1'"),
        ("stage is 2", "cannot stand here|is not a condition"),
    ],
)
@pytest.mark.filterwarnings("ignore:.is. with:SyntaxWarning")
def test_what_is_no_condition_is_refused_before_any_record_is_read(text, message):
    with pytest.raises(ExperimentError, match=message):
        compile_filter(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "stagge == 2",
            r"f:7: where 'stagge == 2': there is no field 'stagge' \(fields: stage, meta\)\. Did you mean",
        ),
        ("meta.dept == 2", r"no field 'meta\.dept' \(fields: depth\)\. Did you mean 'depth'"),
        ("stage < 'x'", "2 and 'x' cannot be put in order"),
        ("meta.depth < 2", "None and 2 cannot be put in order"),
        ("stage in 2", r"`in` wants a list such as \[1, 2\], not 2"),
    ],
)
def test_a_record_that_the_condition_does_not_fit_is_named(text, message):
    with pytest.raises(DataError, match=message):
        holds(text, stage=2, meta={"depth": None})
