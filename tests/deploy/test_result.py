from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import pytest

from tests.deploy.runs import chats, finds, trained
from tests.evaluate.loaded import tiny
from tests.images.made import put, saved, scene
from tests.pipeline.small import lora_stage, small_experiment
from tests.tiny import tiny_model
from tunesmith import load_experiment, load_result
from tunesmith import run as run_whole
from tunesmith.config.experiment import Pictures
from tunesmith.deploy.result import Prediction, Result, answers_of
from tunesmith.errors import DataError
from tunesmith.evaluate.engines import Engine
from tunesmith.evaluate.rows import read_rows
from tunesmith.records.conversation import Conversation, Turn
from tunesmith.records.record import Record
from tunesmith.records.sources import BadRow
from tunesmith.tasks import Answer
from tunesmith.tasks.answer import Answer as Open


class Picky(Engine):
    """Refuses all if there is one that it cannot take, as engines do; answers the last question first."""

    kind: Literal["picky"] = "picky"

    def answers(
        self, model: Any, task: Any, conversations: Sequence[Conversation]
    ) -> Iterator[tuple[int, Answer]]:
        bad = [f"{one.record}: is long" for one in conversations if one.turns[0].text == "bad"]
        if bad:
            raise DataError("\n".join(bad) + "\nare over the limit.")
        for index in reversed(range(len(conversations))):
            yield index, Answer(conversations[index].record)


def in_order(result: Result, records: list[Record]) -> list[Prediction | BadRow]:
    return list(result.answered(records, lambda _: Path(), Pictures()))


@pytest.mark.parametrize("bad", [(), (0,), (3, 4), (0, 6), tuple(range(7))])
def test_a_question_that_the_engine_refuses_costs_no_other_its_answer(bad: tuple[int, ...]) -> None:
    asked = [
        Conversation(f"a:{number}", (Turn.of("user", "bad" if number in bad else "good"),), "")
        for number in range(7)
    ]
    found = dict(answers_of(Picky(), tiny(), Open(prompt="x"), asked))
    assert found == {
        number: BadRow(f"a:{number}", "is long are over the limit.")
        if number in bad
        else Answer(f"a:{number}")
        for number in range(7)
    }


def test_the_answers_are_those_of_the_runs_own_evaluation(tmp_path: Path) -> None:
    evaluate = {"max_test_records": 30, "num_resamples": 100}
    path = small_experiment(tmp_path, stages=[lora_stage(epochs=1)], evaluate=evaluate)
    folder = run_whole(load_experiment(path), path.parent)
    rows = read_rows(folder / "evaluation" / "rows.jsonl")
    source = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    asked = [source[int(row.record.rpartition(":")[2]) - 1] for row in rows]
    predictions = load_result(folder).predict({"text": fields["text"]} for fields in asked)
    assert [one.reading for one in predictions] == [row.reading for row in rows]
    assert [one.answer for one in predictions] == [row.answer for row in rows]
    for one, row in zip(predictions, rows, strict=True):
        assert row.scores is not None
        assert list((one.probabilities or {}).values()) == pytest.approx(list(row.scores), abs=1e-5)


def test_open_questions_are_answered_in_words_up_to_a_limit(tmp_path: Path) -> None:
    run = trained(tmp_path / "open", task={"kind": "answer", "prompt": "Which? {text}", "field": "label"})
    result = load_result(run)
    (free,) = result.predict([{"text": "an axe"}])
    assert free.reading == (free.answer.strip() or None)
    assert free.probabilities is None
    short = load_result(run, ["evaluate.engine={kind: generate, max_new_tokens: 1}"])
    (cut,) = short.predict([{"text": "an axe"}])
    assert not cut.ended
    assert free.answer.startswith(cut.answer)


def test_answers_to_new_questions_may_be_as_long_as_those_that_were_trained(tmp_path: Path) -> None:
    tiny_model(tmp_path / "open" / "model")
    words = ["one thing and another " * times for times in (200, 190, 1, 2)]
    rows = [{"question": f"number {number}?", "answer": text} for number, text in enumerate(words)]
    (tmp_path / "open" / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    split = {"holdout": 1, "validation": 0}
    data = {"source": {"kind": "jsonl", "path": "rows.jsonl"}, "split": split, "leaks": {"near": None}}
    run = trained(tmp_path / "open", data=data, task={"kind": "answer", "prompt": "{question}"})
    longest = load_result(run).longest_answer
    assert longest > 1024
    done = json.loads((run / "stages" / "adapt" / "done.json").read_text())
    assert done["longest_answer"] == longest


def test_a_chat_is_gone_on_with_in_words_though_training_weighed_its_answers(tmp_path: Path) -> None:
    result = load_result(chats(tmp_path / "chat"), ["evaluate.engine={kind: generate, max_new_tokens: 4}"])
    user = {"role": "user", "content": "Say 1 and 7."}
    rows = [
        {"messages": [user]},
        {"messages": [user, {"role": "assistant", "content": "1, 7"}]},
        {"instruction": "Say 1 and 7."},
        {"conversations": [{"from": "human", "value": "Say 1 and 7."}]},
    ]
    predictions = result.predict(rows)
    assert len({one.answer for one in predictions}) == 1
    assert load_result(result.folder.parents[1]).engine.kind == "generate"


@pytest.fixture(scope="module")
def seeing(tmp_path_factory: pytest.TempPathFactory) -> Result:
    run = finds(tmp_path_factory.mktemp("seeing") / "boxes")
    return load_result(run, ["evaluate.engine={kind: generate, max_new_tokens: 4}"])


def test_pictures_may_be_paths_or_bytes_and_what_is_none_is_named(seeing: Result, tmp_path: Path) -> None:
    file = put(tmp_path / "a.png", scene(3))
    by_path, by_bytes, beside = (
        *seeing.predict([{"image": str(file)}, {"image": saved(scene(3))}]),
        *seeing.predict([{"image": "a.png"}], beside=tmp_path),
    )
    assert by_path.answer == by_bytes.answer == beside.answer
    (tmp_path / "b.png").write_text("no picture")
    with pytest.raises(DataError) as caught:
        seeing.predict([{"image": str(file)}, {"image": "b.png"}, {"image": "c.png"}, {}], beside=tmp_path)
    first, second, third = str(caught.value).splitlines()
    assert first.startswith("row 2: field 'image': 'b.png' is text, not a picture")
    assert second.startswith("row 3: field 'image': 'c.png' does not exist in")
    assert third.startswith("row 4: task.picture: there is no field 'image' (none)")


def test_boxes_are_told_in_pixels_of_the_original_picture(seeing: Result, tmp_path: Path) -> None:
    put(tmp_path / "wide.png", scene(1, 200, 100))

    class Sure(Engine):
        """Writes one box, as the model's generation does."""

        kind: Literal["sure"] = "sure"

        def answers(
            self, model: Any, task: Any, conversations: Sequence[Conversation]
        ) -> Iterator[tuple[int, Answer]]:
            for index, one in enumerate(conversations):
                assert one.boxes is not None
                text = "<|box_start|>(100,200),(500,1000)<|box_end|>"
                yield index, Answer(text, boxes=model.family.boxes(text, one.boxes))

    sure = Result(seeing.folder, seeing.experiment, seeing.loaded, Sure())
    (one,) = sure.predict([{"image": "wide.png"}], beside=tmp_path)
    assert one.reading == [{"label": "table", "pixels": [20, 20, 100, 100]}]


def test_good_and_bad_rows_come_in_their_order(tmp_path: Path) -> None:
    result = load_result(trained(tmp_path / "run"))
    long = "word " * 3000
    records = [
        Record("a:1", {"text": "axe"}),
        BadRow("a:2", "is no object"),
        Record("a:3", {"txt": "axe"}),
        Record("a:4", {"text": long}),
        Record("a:5", {"text": "a much longer text about an axe and a fig"}),
    ]
    found = list(result.answered(records, lambda _: Path(), Pictures()))
    assert [one.id if isinstance(one, Prediction) else one.where for one in found] == [
        f"a:{n}" for n in range(1, 6)
    ]
    bad = [one for one in found if isinstance(one, BadRow)]
    assert [one.where for one in bad] == ["a:2", "a:3", "a:4"]
    assert bad[1].why == "prompt: there is no field 'text' (txt). Did you mean 'txt'?"
    assert "tokens are over what the model's positions allow (2048)." in bad[2].why
