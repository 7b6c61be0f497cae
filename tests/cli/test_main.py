"""The command line finds its commands in the folder, and its exit codes tell what went wrong."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tunesmith import __version__, cli
from tunesmith.cli.main import EXIT_CODES, main
from tunesmith.errors import DataError, ExperimentError, ModelError, TunesmithError

COMMANDS = Path(__file__).parents[2] / "docs" / "commands.md"


def tunesmith(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tunesmith.cli.main", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "NO_COLOR": "1", "COLUMNS": "200", **environment},
    )


@pytest.fixture
def failing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file in the folder of commands: `tunesmith fail-now` does what the file says."""
    monkeypatch.setattr(cli, "__path__", [*cli.__path__, str(tmp_path)])
    monkeypatch.setattr(sys, "argv", ["tunesmith", "fail-now"])
    monkeypatch.delitem(sys.modules, "tunesmith.cli.fail_now", raising=False)
    return tmp_path / "fail_now.py"


def exit_code(file: Path, text: str) -> int:
    file.write_text(f'import tunesmith.errors\ndef command() -> None:\n    """Fail."""\n    {text}\n')
    with pytest.raises(SystemExit) as end:
        main()
    return int(str(end.value.code))


def test_help_names_every_command_in_the_folder_with_what_it_does() -> None:
    shown = tunesmith("--help")
    assert shown.returncode == 0
    files = {file.stem for folder in cli.__path__ for file in Path(folder).glob("*.py")} - {
        "__init__",
        "main",
    }
    assert {"doctor", "schema"} <= files
    for name in files:
        assert re.search(rf"{name.replace('_', '-')} +\w", shown.stdout), name


def test_the_version_is_told() -> None:
    assert tunesmith("--version").stdout == f"tunesmith {__version__}\n"


@pytest.mark.parametrize(
    ("kind", "code"), [(ExperimentError, 2), (DataError, 3), (ModelError, 4), (TunesmithError, 1)]
)
def test_each_kind_of_error_has_its_exit_code_and_no_traceback(
    failing: Path, capsys: pytest.CaptureFixture[str], kind: type[Exception], code: int
) -> None:
    assert exit_code(failing, f"raise tunesmith.errors.{kind.__name__}('a.b: [bold]wrong')") == code
    assert capsys.readouterr().err == "error: a.b: [bold]wrong\n"


def test_a_crash_of_our_own_keeps_its_traceback(failing: Path) -> None:
    failing.write_text('def command() -> None:\n    """Fail."""\n    raise KeyError("x")\n')
    with pytest.raises(KeyError):
        main()


def test_an_interruption_ends_as_shells_expect(failing: Path) -> None:
    assert exit_code(failing, "raise KeyboardInterrupt") == 130


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_is_told_in_one_sentence() -> None:
    ended = tunesmith("schema", "--output", "/dev/full")
    assert ended.returncode == 5
    assert ended.stderr.startswith("error: the disk is full, nothing more could be written (")
    assert ended.stderr.endswith("free some space and run again\n")
    assert ended.stderr.count("\n") == 1


def test_a_full_disk_that_a_library_only_quotes_is_told_too(failing: Path) -> None:
    assert exit_code(failing, "raise RuntimeError('I/O error: No space left on device (os error 28)')") == 5


@pytest.mark.parametrize("arguments", [["no-such-command"], ["run"], ["run", "missing.yaml"], ["--nonsense"]])
def test_a_wrong_command_line_is_2(arguments: list[str]) -> None:
    assert tunesmith(*arguments).returncode == 2


def test_the_shell_completes_commands() -> None:
    completed = tunesmith(_TUNESMITH_COMPLETE="complete_bash", COMP_WORDS="tunesmith doc", COMP_CWORD="1")
    assert completed.stdout.split() == ["doctor"]


def test_the_documented_exit_codes_are_the_ones_that_come_back() -> None:
    documented = {
        int(code) for code in re.findall(r"^\| (\d+) \|", COMMANDS.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert documented == {0, 5, 130, 143, *EXIT_CODES.values()}


@pytest.mark.parametrize(
    ("happens", "code"),
    [("raise KeyboardInterrupt", 130), ("import os, signal; os.kill(os.getpid(), signal.SIGTERM)", 143)],
)
def test_an_interruption_says_in_one_line_that_the_same_command_goes_on(
    failing: Path, capsys: pytest.CaptureFixture[str], happens: str, code: int
) -> None:
    before = signal.getsignal(signal.SIGTERM)
    assert exit_code(failing, happens) == code
    told = "interrupted: what was finished before is kept. Call the same command again to go on from there\n"
    assert capsys.readouterr().err == told
    assert signal.getsignal(signal.SIGTERM) is before
