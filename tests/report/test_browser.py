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


@pytest.fixture(scope="module")
def page(study: Path) -> Path:
    return write_report(study)


def test_the_console_stays_silent(browse: Browse, page: Path, tmp_path: Path) -> None:
    loud = tmp_path / "loud.html"
    loud.write_text("<script>console.error('heard')</script>")
    assert any("heard" in line for line in console(browse(loud)))
    done = browse(page)
    assert console(done) == []
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in done.stdout


def test_nothing_overflows_sideways(browse: Browse, page: Path, tmp_path: Path) -> None:
    """Measured inside frames, one of the width of a phone, because a window cannot be made that narrow."""
    widths, text = (320, 390, 1280), html.escape(page.read_text(encoding="utf-8"))
    frames = tmp_path / "frames.html"
    frames.write_text(
        "".join(
            f"<iframe style='width:{width}px;height:800px;border:0' srcdoc='{text}' onload=\""
            "const inner = this.contentDocument.documentElement;"
            'this.dataset.measured = `${inner.clientWidth} ${inner.scrollWidth}`"></iframe>'
            for width in widths
        ),
        encoding="utf-8",
    )
    measured = re.findall(r'data-measured="(\d+) (\d+)"', browse(frames).stdout)
    assert len(measured) == len(widths), "not every frame was measured"
    for width, (client, scroll) in zip(widths, measured, strict=True):
        assert width - 20 <= int(client) <= width
        assert int(scroll) <= int(client)
