import pytest

from tunesmith.split.source_code import skeleton

PYTHON = """def area(width, height):
    result = width * height
    for step in range(3):
        result += step
    print(result)
    return result
"""
JAVASCRIPT = (
    "function area(width, height) { let result = width * height; "
    "for (let i = 0; i < 3; i++) { result += i; } return result; }"
)


@pytest.mark.parametrize("code", [PYTHON, JAVASCRIPT])
def test_a_program_with_other_names_has_the_same_skeleton(code):
    other = (
        code.replace("area", "surface").replace("result", "x").replace("width", "w").replace("height", "h")
    )
    assert skeleton(code) == skeleton(other) is not None


@pytest.mark.parametrize(("old", "new"), [("*", "+"), ("3", "4"), ("range", "list"), ("print", "repr")])
def test_another_operation_number_or_library_function_has_another_one(old, new):
    assert skeleton(PYTHON) != skeleton(PYTHON.replace(old, new))


@pytest.mark.parametrize(
    "text", ["", "x = f(1)", "A long story (with a remark in brackets)\nof many words and few signs. " * 5]
)
def test_prose_and_short_programs_have_none(text):
    assert skeleton(text) is None
