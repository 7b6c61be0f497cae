from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from tests.report.chromium import content_width, needs_chromium, screenshot
from tests.report.run_folder_maker import make_experiment, make_pictured, write_lines
from tests.tiny import CLIP
from tunesmith.audit.lengths import summarise
from tunesmith.audit.pictures import count_pictures
from tunesmith.config.experiment import Pixels
from tunesmith.errors import DataError
from tunesmith.model.families._image_processor import ImageProcessorConfig
from tunesmith.report.page import write_report
from tunesmith.runs.audit import AUDIT

VOID = {"meta", "line", "circle", "path", "br", "use", "image"}


class Page(HTMLParser):
    """A page's elements and text; fails where an end tag does not match."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.source = page.read_text(encoding="utf-8")
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(self.source)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append((self.open[-1] if self.open else "", data))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    def text(self, tag: str | None = None) -> str:
        words = " ".join(data for inside, data in self.texts if inside != "style" and tag in (None, inside))
        return re.sub(r"\s+", " ", words)


@pytest.fixture(scope="session")
def page(experiment) -> Page:
    return Page(write_report(experiment / "lora"))


def test_a_finished_run_has_every_section(page):
    assert [attributes["id"] for attributes in page.all("section")] == [
        "metrics", "classes", "confusion", "examples", "training", "trained", "split", "lengths", "settings"
    ]  # fmt: skip
    anchors = [attributes["href"] for attributes in page.all("a")]
    assert anchors == [f"#{attributes['id']}" for attributes in page.all("section")]


def test_the_headline_is_the_title_of_the_page(page):
    assert "Accuracy on 400 held-out records rose from" in page.text()


@pytest.mark.parametrize(
    "fact",
    [
        "7,200 train", "3 exact and 1 pair of texts that look alike", "from 0.9 of their words on",
        "4 training records dropped",
        "were skipped: 1.", "field 'text' is missing", "921,600", "134,515,008", "0.69 %", "attention: sdpa",
        "Over after 200 updates; the weights are those of update 180", "torch", "2.13.0", "versions.python",
        "path: Qwen/Qwen2.5-0.5B-Instruct", "share of trained tokens", "recommended limit",
        "started from", "McNemar",
        "Answers that could not be read: base", "Sci/Tech",
    ],
)  # fmt: skip
def test_the_page_tells(page, fact):
    assert fact in page.text()


def test_every_curve_is_there_and_says_what_it_shows(page):
    titles = [text for tag, text in page.texts if tag == "figcaption"]
    assert titles == [
        "Reliability diagram: accuracy by predicted probability", "Training loss, nats per trained token",
        "Accuracy on validation records", "Learning rate", "Tokens per second", "Peak memory, GiB",
        "Gradient norm before clipping", "F1 macro on validation records", "Lengths of 7,200 examples",
    ]  # fmt: skip
    plots = [attributes for attributes in page.all("svg") if "role" in attributes]
    assert len(plots) == len(titles)
    assert all(attributes["role"] == "img" and attributes["aria-label"].strip() for attributes in plots)
    assert all("aria-hidden" in attributes for attributes in page.all("svg") if "role" not in attributes)


def test_the_page_needs_nothing_from_elsewhere(page):
    assert not {"script", "link", "img", "iframe", "object", "embed"} & {tag for tag, _ in page.elements}
    assert all("src" not in attributes for _, attributes in page.elements)
    assert "url(" not in page.source
    assert "@import" not in page.source
    assert "http:" not in page.source
    assert "https:" not in page.source
    assert "default-src 'none'" in page.source


def test_tables_have_headers_with_a_scope(page):
    assert all(attributes.get("scope") in ("row", "col") for attributes in page.all("th"))
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert Counter(ids).most_common(1)[0][1] == 1


def test_a_verdict_is_a_word_and_not_only_a_colour(page):
    verdicts = [
        text for tag, text in page.texts if tag == "span" and text in ("better", "worse", "no clear change")
    ]
    assert len(verdicts) == len([it for it in page.all("span") if "verdict" in (it.get("class") or "")]) >= 3


def test_what_a_model_says_is_never_markup(run):
    evil = "</dd><script>alert(1)</script><img src=x onerror=alert(2)> & \u202e \ud800"
    (run / "experiment.yaml").write_text("name: '<script>3</script>'\n")
    for folder in (run / "evaluation", run / ".." / "base-2a"):
        rows = [json.loads(line) for line in (folder / "rows.jsonl").read_text().splitlines()]
        for row in rows:
            row |= {
                "asked": evil[:-1],
                "reference": evil[:-1],
                "answer": evil[:-1],
                "record": "<script>.jsonl:1",
            }
            row["unread"] = row["unread"] and "<script>why</script>"
        write_lines(folder / "rows.jsonl", rows)
        text = (folder / "scores.json").read_text()
        (folder / "scores.json").write_text(text.replace("Sci/Tech", "<script>4</script>"))
    comparison = (run / "evaluation" / "comparison.json").read_text()
    (run / "evaluation" / "comparison.json").write_text(
        re.sub(r"news.jsonl:\d+", "<script>.jsonl:1", comparison)
    )
    page = Page(write_report(run))
    assert not {"script", "img"} & {tag for tag, _ in page.elements}
    assert "<script>alert(1)</script>" in page.text("bdi")


def test_texts_stand_in_their_own_direction(page):
    assert any("مباراة" in text for tag, text in page.texts if tag == "bdi")
    assert all(attributes.get("dir") == "auto" for attributes in page.all("bdi"))


def test_a_long_text_is_folded_and_still_whole(page):
    assert "…" in page.text("bdi")
    article = next(text for tag, text in page.texts if tag == "bdi" and len(text) > 700)
    assert article.count("markets closed higher") == 8
    assert re.search(r"all 1,\d{3} characters", page.text("summary"))


def test_equal_files_give_equal_bytes(run):
    first = write_report(run).read_bytes()
    assert write_report(run).read_bytes() == first


def test_a_half_done_run_has_a_page_that_says_what_is_missing(run):
    for name in ("evaluation", "../data-1f", "../base-2a", "stages"):
        shutil.rmtree(run / name)
    for name in ("experiment.yaml", "environment.json", "audit.json", "lineage.json"):
        (run / name).unlink()
    page = Page(write_report(run))
    assert "There is no evaluation on held-out records yet." in page.text()
    assert "The held-out split is not made yet" in page.text("li")
    assert "Stage adapt is not over; it reached update 200 of 200." in page.text("li")
    assert "There is no experiment.yaml." in page.text()


def test_the_page_of_a_run_that_diverged_says_what_when_and_what_is_kept(run):
    shutil.rmtree(run / "evaluation")
    (run / "stages" / "polish" / "done.json").unlink()
    diverged = {"event": "diverged", "stage": "polish", "step": 61, "steps": 90, "reason": "the loss is nan"}
    with (run / "log.jsonl").open("a") as log:
        log.write(json.dumps(diverged | {"kept": "The checkpoint of update 40 is kept: there"}) + "\n")
    text = Page(write_report(run)).text("li")
    assert (
        "Stage polish diverged at update 61 of 90: the loss is nan. The checkpoint of update 40 is kept"
        in text
    )
    assert "Stage polish is not over" not in text
    begun_again = {"event": "stage_start", "stage": "polish", "step": 40, "steps": 90, "steps_per_epoch": 90}
    with (run / "log.jsonl").open("a") as log:
        log.write(json.dumps(begun_again | {"parts": []}) + "\n")
    assert "diverged" not in Page(write_report(run)).text("li")


def test_numbers_are_explained_where_they_are(page):
    text = " ".join(page.text().split())
    for explained in (
        "Below each value is its 95 % interval",
        "Peak memory: the most",
        "Recall: of the records",
    ):
        assert explained in text


def test_a_broken_file_leaves_the_old_page_as_it_was(run):
    before = write_report(run).read_bytes()
    (run / "evaluation" / "rows.jsonl").write_text("{\n")
    with pytest.raises(DataError, match=r"rows.jsonl:1"):
        write_report(run)
    assert (run / "report.html").read_bytes() == before


def luminance(colour: str) -> float:
    """Relative luminance (WCAG 2.2)."""
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
    return sum(weight * value for weight, value in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_all_colours_of_text_can_be_read_on_the_page(page, scheme):
    found = re.findall(r"--([\w-]+): (#\w{6})", page.source)
    half = len(found) // 2
    colours = dict(found[half * scheme : half * (scheme + 1)])
    for name in ("ink", "muted", "tuned", "base", "better", "worse"):
        for ground in ("paper", "raised"):
            light, dark = sorted((luminance(colours[name]), luminance(colours[ground])), reverse=True)
            assert (light + 0.05) / (dark + 0.05) >= 4.5, f"{name} on {ground}"


@pytest.mark.slow
@needs_chromium
def test_the_page_is_drawn_light_and_dark(experiment, tmp_path):
    page = write_report(experiment / "lora")
    light, dark = (screenshot(page, tmp_path, dark=dark) for dark in (False, True))
    assert light[0, 0].min() > 240, "light paper"
    assert dark[0, 0].max() < 40, "dark paper"
    for pixels in (light, dark):
        drawn = (pixels != pixels[0, 0]).any(-1)
        assert 0.02 < drawn.mean() < 0.5
        assert drawn[2000:].any(), "the page goes on below the fold"
        assert not drawn[:, -20:].any(), "nothing sticks out to the right"


@pytest.fixture(scope="session")
def pictured(tmp_path_factory) -> dict[bool, Page]:
    """Pages of a run about pictures, with boxes and without."""
    roots = {boxes: tmp_path_factory.mktemp("pictured") for boxes in (True, False)}
    return {boxes: Page(write_report(make_pictured(root, boxes))) for boxes, root in roots.items()}


@pytest.mark.slow
@pytest.mark.parametrize("boxes", [True, False])
def test_every_picture_says_what_it_shows(pictured, boxes):
    page = pictured[boxes]
    shown = [attributes for attributes in page.all("svg") if attributes.get("role") == "img"]
    assert all(attributes["aria-label"].strip() for attributes in shown)
    assert len(page.all("use")) >= 20
    assert page.all("image")
    assert all(one["href"].startswith("data:") for one in page.all("image"))
    assert all(one["href"].startswith("#") for one in page.all("use"))
    assert "url(" not in page.source
    kinds = {attributes["class"] for attributes in page.all("rect")}
    assert ({"halo", "true", "said"} <= kinds) == boxes


def test_a_table_shows_each_value_of_a_field_with_its_change(pictured):
    text = pictured[False].text()
    assert "By stage" in text
    assert re.search(r"2 30 60\.0\s% .* 16\.7\s% .* −43\.3\spoints .* worse", text)


def test_what_a_model_says_in_a_box_is_never_markup(tmp_path):
    run = make_pictured(tmp_path, boxes=True, records=20)
    for file in (run / "evaluation" / "rows.jsonl", run / ".." / "base-2a" / "rows.jsonl"):
        rows = [json.loads(line) for line in file.read_text().splitlines()]
        for row in rows:
            row["fields"] = {"stage": "<script>"}
            for box in row["reading"] or []:
                box["label"] = "</text><script>alert(1)</script>"
        write_lines(file, rows)
    page = Page(write_report(run))
    assert not page.all("script")
    assert "<script>alert(1)</script>" in page.text("text")


@pytest.mark.slow
@needs_chromium
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_boxes_are_drawn_in_two_colours_over_their_picture(tmp_path, dark):
    page = write_report(make_pictured(tmp_path, boxes=True, records=20))
    page.write_text(page.read_text().replace("<details>", "<details open>"))
    pixels = screenshot(page, tmp_path, dark=dark).astype(int)
    for colour in ((0x35, 0xE0, 0x8C), (0xFF, 0x6A, 0xD5)):
        assert (np.abs(pixels - colour).max(-1) < 12).sum() > 500


@pytest.mark.slow
@needs_chromium
@pytest.mark.parametrize("boxes", [True, False])
def test_a_phone_need_not_scroll_sideways_for_pictures(tmp_path, boxes):
    page = write_report(make_pictured(tmp_path, boxes=boxes, records=20))
    page.write_text(page.read_text().replace("<details>", "<details open>"))
    assert content_width(page, tmp_path, 400) == 400


@pytest.mark.slow
@needs_chromium
@pytest.mark.parametrize("labels", [("yes", "no"), tuple(f"A Rather Long Class Name {n}" for n in range(32))])
def test_a_phone_need_not_scroll_sideways(tmp_path, labels):
    [run] = make_experiment(tmp_path, labels=labels, records=100)
    assert content_width(write_report(run), tmp_path, 400) == 400


def with_pictures(run: Path, bits: int | None = 4) -> Path:
    """The run with what the pictures of its records add to certificate and audit."""
    certificate = json.loads((run / "../data-1f/manifest.json").read_text())
    certificate["leaks"] |= {"pictures": bits, "picture_pairs": 1234}
    certificate |= {"duplicates": {"content": 0, "text": 2, "picture": 56}, "pictures_beside": [[0, "."]]}
    (run / "../data-1f/manifest.json").write_text(json.dumps(certificate))
    seen = np.array([391, 0, 391])
    pictures = count_pictures(
        ImageProcessorConfig.from_file(Pixels(), CLIP), {(640, 476): 2}, seen, seen + 100
    )
    audit = summarise(seen + 100, 30, "tokens", None)
    AUDIT.write(run, replace(audit, picture_tokens=pictures))
    return run


def test_the_certificate_says_what_was_found_by_pictures(run, tmp_path):
    text = Page(write_report(with_pictures(run))).text()
    assert (
        "3 exact and 1 pair of texts that look alike (from 0.9 of their words on), and 1,234 by a picture (the same "
        "file, or pictures that look alike when laid over one another); 4 training records dropped"
    ) in text
    assert "Pictures that look like an earlier one: 56." in text
    files_only = Page(write_report(with_pictures(run, bits=None))).text()
    assert "and 1,234 by a picture (the same file); 4 training" in files_only


def test_a_run_on_text_says_nothing_of_pictures(page):
    text = page.text()
    assert "by a picture" not in text
    assert "versions of an earlier" not in text
    assert "What smaller pictures would save" not in text


def test_tokens_of_pictures_and_what_smaller_ones_save_are_shown(run):
    page = Page(write_report(with_pictures(run)))
    text = page.text()
    for told in ("pictures in an example 0.667", "most picture tokens 391", "share of picture tokens 72.3"):
        assert told in text
    assert "What smaller pictures would save" in text
    budgets = json.loads((run / "audit.json").read_text())["picture_tokens"]["budgets"]
    assert [budget["pixels"] for budget in budgets] == [{}, {"max": 195 * 28**2}, {"max": 97 * 28**2}]
    for budget in budgets[1:]:
        assert f"max: {budget['pixels']['max']}" in page.text("span")
        assert f"{100 * budget['saved']:.1f}\u202f%" in page.source
