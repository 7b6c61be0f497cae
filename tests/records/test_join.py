from tunesmith.config.experiment import Join
from tunesmith.records.join import joined
from tunesmith.records.record import Record
from tunesmith.records.sources import BadRow


def rows(*fields):
    return iter([Record(f"d:{number}", one) for number, one in enumerate(fields, 1)])


def test_rows_of_one_picture_become_one_record_with_all_boxes():
    join = Join(by=["image"], lists=["box", "label"])
    found = list(
        joined(
            rows(
                {"image": "a", "box": [1, 2, 3, 4], "label": "cat", "width": 9, "number": 1},
                {"image": "b", "box": [5, 6, 7, 8], "label": "dog", "width": 9, "number": 2},
                {
                    "image": "a",
                    "box": [[9, 9, 9, 9], [8, 8, 8, 8]],
                    "label": ["dog", "cat"],
                    "width": 9,
                    "number": 3,
                },
                {"image": "c", "box": None, "label": None, "width": 9, "number": 4},
            ),
            join,
        )
    )
    assert [(record.id, record.fields["box"], record.fields["label"]) for record in found] == [
        ("d:1", [[1, 2, 3, 4], [9, 9, 9, 9], [8, 8, 8, 8]], ["cat", "dog", "cat"]),
        ("d:2", [[5, 6, 7, 8]], ["dog"]),
        ("d:4", [], []),
    ]
    assert (found[0].fields["width"], found[0].fields["number"]) == (9, [1, 3])


def test_a_row_without_a_field_to_join_is_a_bad_row_and_others_are_joined():
    bad = BadRow("d:9", "is no JSON")
    read = iter([bad, *rows({"image": "a", "box": [1, 2, 3, 4]}, {"picture": "a"})])
    found = list(joined(read, Join(by=["image"], lists=["box"])))
    assert found[0] is bad
    assert found[1].fields == {"image": "a", "box": [[1, 2, 3, 4]]}
    assert found[2].where == "d:2"
    assert found[2].why.startswith("data.join: there is no field 'image' (picture)")
