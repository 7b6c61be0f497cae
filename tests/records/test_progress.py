from tunesmith.records import progress
from tunesmith.records.progress import reporting


def test_without_a_terminal_a_line_comes_now_and_then(capsys, monkeypatch):
    monkeypatch.setattr(progress, "_SECONDS_BETWEEN_LINES", 0.0)
    with reporting(None) as report:
        report("reading records", 12_000)
    assert capsys.readouterr().err == "reading records: 12,000\n"


def test_a_short_job_without_a_terminal_says_nothing(capsys):
    with reporting(None) as report:
        report("reading records", 1)
    assert capsys.readouterr().err == ""


def test_on_a_terminal_the_count_is_shown(capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    with reporting(None) as report:
        report("reading records", 1234)
    assert "1234" in capsys.readouterr().err


def test_a_report_of_ones_own_is_told_everything():
    told = []
    with reporting(lambda what, done: told.append((what, done))) as report:
        report("reading", 5)
    assert told == [("reading", 5)]
