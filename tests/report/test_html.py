"""The page as a file: what it says, that it is well-formed, self-contained, safe and repeatable."""

import json
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import matplotlib as mpl
import pytest

from optiscope.errors import FileError, UsageError
from optiscope.report import write_report

VOID = {"meta", "link", "br", "hr", "img"}
CSS = (Path(sys.modules["optiscope.report"].__file__ or "").parent / "page.css").read_text()


class Reader(HTMLParser):
    """Collects tags, attributes and text, and notices a tag that is closed out of turn."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.wrong: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)

    def handle_data(self, data: str) -> None:
        self.text.append(data)


@pytest.fixture(scope="module")
def page(study: Path) -> str:
    return write_report(study).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    reader.close()
    return reader


def test_it_is_written_beside_the_verdicts(study: Path) -> None:
    assert write_report(study) == study / "report.html"
    assert not list(study.glob("*.tmp"))


def test_tags_are_balanced(read: Reader) -> None:
    assert (read.open, read.wrong) == ([], [])


def test_figures_are_well_formed_and_described(page: str) -> None:
    figures = re.findall(r"<svg xmlns=.*?</svg>", page, re.DOTALL)
    assert len(figures) == 3 + 8
    for figure in figures:
        root = ET.fromstring(figure)
        assert root.attrib["role"] == "img"
        assert re.search("against the step|by learning rate and batch size", root.attrib["aria-label"])
        assert root.attrib["viewBox"]


def test_every_identifier_is_unique_and_every_reference_is_met(read: Reader, page: str) -> None:
    ids = Counter(attributes["id"] for _, attributes in read.tags if "id" in attributes)
    assert [name for name, count in ids.items() if count > 1] == []
    links = {value[1:] for _, a in read.tags for key in ("href", "xlink:href") if (value := a.get(key))}
    links |= set(re.findall(r"url\(#([^)]+)\)", page))
    assert {"cell-1", "cell-4-signal"} <= links
    assert links <= set(ids)


def test_it_needs_no_network_and_runs_nothing(read: Reader, page: str) -> None:
    addresses = set(re.findall(r'https?://[^"\s<]+', page))
    assert addresses == {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    assert not {"script", "link", "img", "iframe", "object"} & {tag for tag, _ in read.tags}
    assert not [a for _, a in read.tags if "src" in a or any(key.startswith("on") for key in a)]
    assert "@import" not in page


def test_names_stay_text(read: Reader, page: str) -> None:
    assert "<script" not in page
    assert read.text.count("<script>alert(1)</script> $x_1$") >= 1
    assert sum("<script>alert(1)</script> $x_1$" in text for text in read.text) >= 5


@pytest.mark.parametrize(
    "words",
    [
        "4 cells of sgd, adam, <script>alert(1)</script> $x_1$ in 6 runs, 1 to 3 seeds a cell: 2 stable, "
        "1 unstable, 1 undecided.",
        "the loss was not finite at step 200",
        "the seeds do not settle it: 2 stable, 1 unstable",
        "0.38 (0.00 to 0.85)",
        "completed after 400 steps, loss",
        "diverged after 200 steps, loss not finite",
        "Run sgd-b200-s0, status diverged, file runs/sgd-b200-s0.h5",
        "1-provisional",
        "optiscope characterize --optimizers adam --batch-sizes 100 --seeds 3",
        "the 95 % Jeffreys interval over the seeds",
        "All of it once more, every cell with as many seeds as the one that has most:",
        "The panels of one optimizer share a linear y scale",
        "burn-in, not judged",
        "hooks of mine4 s12.5 %",
        "recorder step1 s3.1 %",
        "Thinned: probe, one row in 20.",
        "envelope X at steps 172 to 190",
        "3 seeds, 2 completed, 1 diverged: loss 0.",
        "1 stable, 1 unstable; largest stable lr by theory: 0.08",
        "numpy2.9.9trained",
        "mine1trained",
    ],
)
def test_what_a_reader_finds(read: Reader, words: str) -> None:
    assert words in "".join(read.text)


def test_only_the_run_that_blew_up_has_a_scale_of_its_own(page: str) -> None:
    panels = re.findall(r'id="(cell-\d)-signal" class="card">(.*?)</svg>', page, re.DOTALL)
    assert [key for key, panel in panels if "own scale" in panel] == ["cell-2"]
    assert len(panels) == 4


def test_tables_have_captions_and_heads(read: Reader) -> None:
    tags = Counter(tag for tag, _ in read.tags)
    assert tags["table"] == tags["caption"] == 1 + 1 + 6 + 1 + 1
    heads = [a for tag, a in read.tags if tag == "th"]
    assert {a.get("scope") for a in heads} == {"col", "row"}
    assert [tag for tag, _ in read.tags if tag in ("h1", "h2")] == ["h1", *7 * ["h2"]]
    assert ("html", {"lang": "en"}) in read.tags


def test_the_same_files_give_the_same_bytes_whatever_the_users_style(study: Path, page: str) -> None:
    with mpl.rc_context({"font.size": 30, "svg.hashsalt": None, "font.family": "serif", "xtick.direction": "in"}):
        assert write_report(study).read_text(encoding="utf-8") == page


def test_colours_follow_the_readers_setting(page: str) -> None:
    figures = "".join(re.findall(r"<svg xmlns=.*?</svg>", page, re.DOTALL))
    fixed = set(re.findall(r"(?<!, )#[0-9a-f]{6}\b", figures))
    assert fixed <= {"#ffffff", "#000000"}
    assert "var(--signal, " in figures


def luminance(colour: str) -> float:
    """Relative luminance of WCAG 2."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, two: str) -> float:
    low, high = sorted((luminance(one), luminance(two)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_contrast(scheme: int) -> None:
    colours = dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", re.findall(r":root \{(.*?)\}", CSS, re.DOTALL)[scheme]))
    for behind in ("page", "card"):
        for text in ("ink", "muted", "link", "alarm", "stable", "undecided"):
            assert contrast(colours[text], colours[behind]) >= 4.5, (text, behind)
        for mark in ("signal", "median"):
            assert contrast(colours[mark], colours[behind]) >= 3, (mark, behind)


def test_a_missing_run_is_a_gap_in_the_page(study: Path, tmp_path: Path) -> None:
    shutil.copytree(study / "runs", tmp_path / "runs")
    shutil.copy(study / "characterization.json", tmp_path)
    (tmp_path / "runs" / "sgd-b50-s0.h5").unlink()
    (tmp_path / "runs" / "sgd-b200-s0.h5").write_bytes(b"not HDF5")
    text = write_report(tmp_path).read_text(encoding="utf-8")
    assert text.count("<svg xmlns=") == 3 + 4
    assert text.count("Not drawn: ") == 2
    assert 'id="cell-1-signal"' in text


def test_files_that_could_not_be_read_are_named(page: str, tmp_path: Path) -> None:
    assert "could not be read" not in page
    document = {"schema_version": 1, "versions": {}, "cells": []}
    document["unreadable"] = [{"path": "runs/<b>.h5", "why": "runs/<b>.h5 is damaged: make it again"}]
    (tmp_path / "characterization.json").write_text(json.dumps(document))
    text = write_report(tmp_path).read_text(encoding="utf-8")
    assert "1 file could not be read" in text
    assert "<li>runs/&lt;b&gt;.h5 is damaged: make it again</li>" in text


def test_runs_that_were_lost_are_named_with_the_reason(page: str, tmp_path: Path) -> None:
    assert "came to no end" not in page
    document = {"schema_version": 1, "versions": {}, "cells": []}
    document["lost"] = [{"run_id": "<i>-s0", "why": "it ran out of memory; tried again, its worker died (SIGKILL)"}]
    (tmp_path / "characterization.json").write_text(json.dumps(document))
    text = write_report(tmp_path).read_text(encoding="utf-8")
    assert "1 run came to no end" in text
    assert "<li>&lt;i&gt;-s0: it ran out of memory; tried again, its worker died (SIGKILL)</li>" in text


@pytest.mark.parametrize(("text", "error"), [(None, UsageError), ("{", FileError), ('{"cells": 3}', FileError)])
def test_without_a_characterization_there_is_no_report(tmp_path: Path, text: str | None, error: type) -> None:
    if text is not None:
        (tmp_path / "characterization.json").write_text(text)
    with pytest.raises(error, match=r"characterization\.json"):
        write_report(tmp_path)


def test_an_empty_characterization_is_a_page(tmp_path: Path) -> None:
    (tmp_path / "characterization.json").write_text(json.dumps({"schema_version": 1, "versions": {}, "cells": []}))
    assert "nothing was judged" in write_report(tmp_path).read_text(encoding="utf-8")


def test_a_page_that_cannot_be_written_is_named(study: Path, tmp_path: Path) -> None:
    shutil.copy(study / "characterization.json", tmp_path)
    (tmp_path / "report.html").mkdir()
    with pytest.raises(FileError, match=r"cannot write .*report\.html"):
        write_report(tmp_path)


def test_the_verdicts_can_be_shown_without_a_plotting_library() -> None:
    code = "import sys, optiscope.report; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "optiscope.report" in loaded
    assert not {"matplotlib", "h5py", "rich", "optiscope.engine"} & set(loaded)


def test_runs_that_came_to_no_end_are_named(tmp_path: Path) -> None:
    document = {"schema_version": 1, "versions": {}, "cells": []}
    document["lost"] = [{"run_id": "sgd-<b>", "why": "its worker died twice"}]
    (tmp_path / "characterization.json").write_text(json.dumps(document))
    text = write_report(tmp_path).read_text(encoding="utf-8")
    assert "1 run came to no end" in text
    assert "<li>sgd-&lt;b&gt;: its worker died twice</li>" in text


def test_runs_that_were_lost_are_not_called_running(make_study: Callable[..., Path], tmp_path: Path) -> None:
    make_study(tmp_path, [("sgd", 50, ["lost"], "undecided"), ("adam", 50, ["stable", "lost"], "undecided")])
    text = write_report(tmp_path).read_text(encoding="utf-8")
    assert "lost after 10 steps, loss" in text
    assert re.search(r"2 seeds, 1 completed, 1 lost: loss [\d.]+, test accuracy [\d.]+\u00a0%<", text)
    assert text.count("; lost after 10 steps</figcaption>") == 2
    assert "Run sgd-b50-s0, status lost" in text
    assert "running after" not in text
    assert "status running" not in text


def test_of_many_cells_those_that_are_not_stable_are_drawn(study: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("optiscope.report.page.MOST_DRAWN", 3)
    shutil.copytree(study, tmp_path, dirs_exist_ok=True)
    text = write_report(tmp_path).read_text(encoding="utf-8")
    assert re.findall(r'<figure id="(cell-.)-', text) == 2 * ["cell-1", "cell-2", "cell-3"]
    assert 'href="#cell-4"' in text
    assert "#cell-4-" not in text
    assert "3 of 4 cells are drawn" in text
