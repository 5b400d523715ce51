"""The pages in a browser: nothing complains, nothing runs, and a phone does not scroll sideways.

One browser looks at everything at once, because starting it costs seconds: at pages inside frames of a phone's and of a
desk's width (a window cannot be made that narrow), and at a script that complains, to see that it would be heard.
"""

import html
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from optiscope.report import write_card, write_report

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
QUIET = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync")
OFFLINE = ("--disable-background-networking", "--disable-component-update", "--enable-logging=stderr")
PHONE = 390
WIDTHS = (320, PHONE, 1280, PHONE, PHONE, PHONE, 820, 1120, 1280, 1920)
"""Of the frames: three with the report, one with the card of each of two optimizers, five with a reproduction."""

COLUMNS = (1, 2, 4, 4, 4)
"""In which the panels of a reproduction stand."""

LOUD = "<script>console.error('heard')</script>"
MEASURE = (
    "const inner = this.contentDocument.documentElement;"
    "const frames = document.querySelectorAll('iframe');"
    "const row = inner.querySelector('section.card > .grid');"
    "const columns = row ? this.contentWindow.getComputedStyle(row).gridTemplateColumns.split(' ').length : 0;"
    "const scripts = inner.querySelectorAll('script').length;"
    "this.dataset.found = `${inner.clientWidth} ${inner.scrollWidth} ${scripts} ${columns}`;"
    "document.title = JSON.stringify([...frames].map(frame => frame.dataset.found || ''))"
)


@pytest.fixture(scope="module")
def seen(study: Path, reproduced: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[list[list[int]], list[str]]:
    """Return width, scroll width, scripts and columns of each page at each width, and what the console said."""
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        pytest.skip("needs Chromium")
    folder = tmp_path_factory.mktemp("browser")
    report = write_report(study)
    cards = [write_card(study, name) for name in ("adam", "<script>alert(1)</script> $x_1$")]
    paper = write_report(reproduced)
    texts = [page.read_text(encoding="utf-8") for page in (report, report, report, *cards, *5 * [paper])]
    frames = [
        f'<iframe style="width:{width}px;height:800px" srcdoc="{html.escape(text)}" onload="{MEASURE}"></iframe>'
        for text, width in zip(texts, WIDTHS, strict=True)
    ]
    page = folder / "frames.html"
    page.write_text("".join((*frames, LOUD)), encoding="utf-8")
    profile = f"--user-data-dir={folder / 'profile'}"
    command = [program, *QUIET, *OFFLINE, profile, "--virtual-time-budget=5000", "--dump-dom", page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=True)
    title = re.search(r"<title>(\[.*?\])</title>", done.stdout)
    assert title, "the frames were not measured"
    found = [[int(number) for number in words.split()] for words in json.loads(html.unescape(title[1]))]
    return found, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


def test_only_what_complains_is_heard(seen: tuple[list[list[int]], list[str]]) -> None:
    (line,) = seen[1]
    assert "heard" in line


def test_names_run_nothing(seen: tuple[list[list[int]], list[str]]) -> None:
    assert [scripts for _, _, scripts, _ in seen[0]] == [0] * len(seen[0])


def test_nothing_overflows_sideways(seen: tuple[list[list[int]], list[str]]) -> None:
    for (client, scroll, *_), width in zip(seen[0], WIDTHS, strict=True):
        assert width - 20 <= client <= width
        assert scroll <= client


def test_the_four_panels_of_a_setting_are_a_row_on_a_desk_and_a_column_on_a_phone(
    seen: tuple[list[list[int]], list[str]],
) -> None:
    assert tuple(columns for *_, columns in seen[0])[-len(COLUMNS) :] == COLUMNS
