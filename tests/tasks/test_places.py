import pytest

from tunesmith.tasks._places import order_of_places


@pytest.mark.parametrize(
    ("texts", "number", "order"),
    [
        (["none"], 2, None),
        (["<image>a", "<IMAGE>"], 2, [0, 1]),
        (["<image2><image1>"], 2, [1, 0]),
        (["<image 1> or <image_2>"], 2, [0, 1]),
    ],
)
def test_a_mark_with_a_number_is_the_place_of_that_picture(texts, number, order):
    assert order_of_places(texts, number) == order


@pytest.mark.parametrize("text", ["<image1>", "<image1><image1>", "<image1><image>", "<image0><image1>"])
def test_numbers_that_do_not_name_each_picture_once_are_refused(text):
    with pytest.raises(ValueError, match=r"numbers .* but task\.pictures gives 2"):
        order_of_places([text], 2)
