"""The page in a browser: nothing complains, nothing runs, and a phone does not scroll sideways."""

import html
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from optiscope.report import write_report

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
QUIET = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync")
OFFLINE = ("--disable-background-networking", "--disable-component-update", "--enable-logging=stderr")

Browse = Callable[[Path], subprocess.CompletedProcess[str]]


@pytest.fixture
def browse(tmp_path: Path) -> Browse:
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        pytest.skip("needs Chromium")

    def load(page: Path) -> subprocess.CompletedProcess[str]:
        profile = f"--user-data-dir={tmp_path / 'profile'}"
        command = [program, *QUIET, *OFFLINE, profile, "--virtual-time-budget=5000", "--dump-dom", page.as_uri()]
        return subprocess.run(command, capture_output=True, text=True, timeout=90, check=True)

    return load


def console(done: subprocess.CompletedProcess[str]) -> list[str]:
    return [line for line in done.stderr.splitlines() if "CONSOLE" in line]


def test_the_console_stays_silent(browse: Browse, study: Path, tmp_path: Path) -> None:
    loud = tmp_path / "loud.html"
    loud.write_text("<script>console.error('heard')</script>")
    assert any("heard" in line for line in console(browse(loud)))
    done = browse(write_report(study))
    assert console(done) == []
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in done.stdout


@pytest.mark.parametrize("width", [320, 390, 1280])
def test_nothing_overflows_sideways(browse: Browse, study: Path, tmp_path: Path, width: int) -> None:
    """Measured inside a frame of the phone's width, because a window cannot be made that narrow."""
    page = write_report(study).read_text(encoding="utf-8")
    frame = tmp_path / "frame.html"
    frame.write_text(
        f'<iframe style="width:{width}px;height:800px;border:0" srcdoc="{html.escape(page)}" onload="'
        "const inner = this.contentDocument.documentElement;"
        'document.title = `${inner.clientWidth} ${inner.scrollWidth}`"></iframe>',
        encoding="utf-8",
    )
    title = re.search(r"<title>(\d+) (\d+)</title>", browse(frame).stdout)
    assert title, "the frame was not measured"
    client, scroll = map(int, title.groups())
    assert width - 20 <= client <= width
    assert scroll <= client
