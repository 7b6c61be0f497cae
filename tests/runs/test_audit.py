from tunesmith.runs.audit import Audit, Histogram, PixelBudget


def test_lengths_are_in_the_unit_that_was_counted() -> None:
    histogram = Histogram((1.0, 2.0), (3,))
    assert Audit("tokens", 3, histogram, tokens={"max": 2.0}).lengths == {"max": 2.0}
    assert Audit("characters", 3, histogram, characters={"max": 9.0}).lengths == {"max": 9.0}


def test_a_budget_is_named_by_the_setting_that_asks_for_it() -> None:
    assert PixelBudget({"max": 153664}, 1, 1.0, 0.0).name == "model.pixels.max: 153664"
    assert PixelBudget({"size": [28, 56]}, 1, 1.0, 0.0).name == "model.pixels: {size: [28, 56]}"
