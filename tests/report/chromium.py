"""Headless Chromium: what a page looks like, and how wide it is."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
needs_chromium = pytest.mark.skipif(
    CHROMIUM is None, reason="chromium is not installed (apt-get install chromium)"
)
QUIET = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip


def chromium(folder: Path, *arguments: str) -> str:
    """What Chromium prints, started with a new profile in the folder."""
    profile = folder / "profile"
    command = [str(CHROMIUM), *QUIET, f"--user-data-dir={profile}", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    shutil.rmtree(profile, ignore_errors=True)
    return done.stdout


def screenshot(page: Path, folder: Path, dark: bool) -> np.ndarray:
    """Pixels of the page's first 3,000 lines at 1,200 pixels width; shape (height, width, 3)."""
    file = folder / "page.png"
    scheme = f"--blink-settings=preferredColorScheme={0 if dark else 1}"
    chromium(folder, scheme, "--window-size=1200,3000", f"--screenshot={file}", page.as_uri())
    return np.asarray(Image.open(file).convert("RGB"))


def content_width(page: Path, folder: Path, width: int) -> int:
    """How wide the page's content is in a window of a width."""
    frame = folder / "frame.html"
    frame.write_text(
        f"<iframe src='{page.as_uri()}' width={width} height=800 style='border:0' onload='document.title ="
        " this.contentDocument.documentElement.scrollWidth'></iframe>"
    )
    dom = chromium(folder, "--allow-file-access-from-files", "--dump-dom", frame.as_uri())
    return int(dom.partition("<title>")[2].partition("</title>")[0])
