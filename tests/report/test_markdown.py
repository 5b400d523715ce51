"""The report as Markdown: the same words, figures as files with their data, and names that stay text."""

import csv
import re
import resource
import shutil
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest

from optiscope.errors import FileError
from optiscope.report import write_report
from optiscope.report.blocks import Bullets, Code, Link, Muted, Page, Paragraph, Section, Table, Verdict
from optiscope.report.markdown import escape, render
from optiscope.report.write import to_csv
from optiscope.storage import open_run


@pytest.fixture(scope="module")
def folder(study: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("markdown")
    shutil.copytree(study, out, dirs_exist_ok=True)
    (out / "report-figures").mkdir()
    (out / "report-figures" / "cell-99-signal.svg").write_text("of an older report")
    assert write_report(out, "md") == out / "report.md"
    return out


@pytest.fixture(scope="module")
def text(folder: Path) -> str:
    return (folder / "report.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("said", "escaped"),
    [
        ("<b>&", "&lt;b&gt;&amp;"),
        ("a|b", r"a\|b"),
        ("*_`[x]$y$", r"\*\_\`\[x\]\$y\$"),
        ("two\n lines", "two lines"),
        ("1. no list", r"1\. no list"),
        ("- no list", r"\- no list"),
        ("# no heading", r"\# no heading"),
        ("lr 0.01, -1", "lr 0.01, -1"),
        ("\\", "\\\\"),
    ],
)
def test_text_stays_text(said: str, escaped: str) -> None:
    assert escape(said) == escaped


def test_blocks_become_markdown() -> None:
    page = Page(
        title="t",
        heading="head",
        body=(
            Section(
                title=("a: ", Verdict("stable")),
                key="k",
                level=3,
                body=(
                    Paragraph(("see ", Link("here", "k", "label"), Muted(" or there"))),
                    Bullets(("one", "two")),
                    Code("``` x"),
                    Table(caption="c", heads=("h", "n"), rows=(("|", "1"),), numbers=(1,)),
                ),
            ),
        ),
    )
    assert render(page, "f") == (
        '# head\n\n<a id="k"></a>\n\n### a: **stable**\n\nsee [here](#k) or there\n\n- one\n- two\n\n'
        "````text\n``` x\n````\n\nc\n\n| h | n |\n| --- | ---: |\n| \\| | 1 |\n"
    )


def test_names_stay_text(text: str) -> None:
    outside = re.sub(r"^```text\n.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
    assert "<script" not in outside
    assert r"&lt;script&gt;alert(1)&lt;/script&gt; \$x\_1\$" in outside


def test_tables_have_as_many_fields_in_every_row(text: str) -> None:
    tables = re.findall(r"(?:^\|.*\|$\n?)+", text, re.MULTILINE)
    assert len(tables) == 1 + 1 + 6 + 1 + 1
    for table in tables:
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}) == 1


@pytest.mark.parametrize(
    "words", ["## Verdicts", "0.38 (0.00 to 0.85)", "envelope X at steps 172 to 190", "optiscope characterize"]
)
def test_it_says_what_the_page_says(text: str, words: str) -> None:
    assert words in text


def test_every_link_and_every_image_is_met(folder: Path, text: str) -> None:
    assert set(re.findall(r"\]\(#(.*?)\)", text)) <= set(re.findall(r'<a id="(.*?)"></a>', text))
    files = set(re.findall(r"\]\((report-figures/.*?)\)", text))
    assert {path.relative_to(folder).as_posix() for path in folder.glob("report-figures/*")} == files
    assert len(files) == 2 * (3 + 8)


def test_a_figure_is_a_picture_of_its_own(folder: Path) -> None:
    root = ET.parse(folder / "report-figures" / "cell-1-signal.svg").getroot()
    assert root.attrib["aria-label"].startswith("Signal of sgd, batch 50")
    assert root.attrib["width"] == "252pt"
    assert "var(" not in ET.tostring(root, encoding="unicode")


def test_its_data_are_those_of_the_run(folder: Path) -> None:
    with (folder / "report-figures" / "cell-1-signal.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    with open_run(folder / "runs" / "sgd-b50-s0.h5") as run:
        signal = run.steps["logits_q05"]
    assert [float(row["logits_q05"]) for row in rows] == pytest.approx(signal.tolist(), rel=1e-6)
    assert [row["step"] for row in rows[:2]] == ["1", "2"]
    assert [row["envelope_median"] != "" for row in rows] == [step > 100 for step in range(1, 401)]
    assert all(float(row["envelope_low"]) < float(row["envelope_high"]) for row in rows[100:])


def test_the_data_of_several_seeds_stand_side_by_side(folder: Path) -> None:
    with (folder / "report-figures" / "cell-3-training.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {f"loss_seed_{seed}" for seed in range(3)} < set(rows[0])
    assert [row["loss_seed_2"] != "" for row in rows] == [step < 200 for step in range(1, 401)]
    assert [row["step"] for row in rows if row["test_accuracy_seed_0"]] == ["100", "200", "300", "400"]


def test_the_data_hold_what_is_drawn_over_the_seeds_from_the_first_step_to_the_last(folder: Path) -> None:
    with (folder / "report-figures" / "cell-3-training.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in (rows[0], rows[-1]):
        values = sorted(float(row[f"loss_seed_{seed}"]) for seed in range(3) if row[f"loss_seed_{seed}"])
        drawn = [float(row[f"loss_{what}"]) for what in ("least", "median", "greatest")]
        assert drawn == pytest.approx([values[0], np.median(values), values[-1]])
    assert all(row["accuracy_median"] for row in rows)
    medians = [np.median([float(row[f"loss_seed_{seed}"]) for row in rows[74:125]]) for seed in range(3)]
    assert float(rows[99]["loss_median"]) == pytest.approx(np.median(medians))
    with (folder / "report-figures" / "cell-1-training.csv").open(newline="") as file:
        assert "loss_least" not in next(csv.reader(file))


def test_what_is_missing_is_an_empty_field() -> None:
    text = to_csv({"a": [1.0, float("nan"), 0.123456789], "b": ["x,y", None, 3]})
    assert text == 'a,b\n1,"x,y"\n,\n0.1234568,3\n'


def held(out: Path) -> dict[str, bytes]:
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in out.rglob("*") if path.is_file()}


def test_where_the_disk_is_full_the_old_report_stays(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    (tmp_path / "report-figures" / "cell-1-signal.svg").write_text("of an older report")
    before, limits = held(tmp_path), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (16_384, limits[1]))  # a file of more cannot be written
    try:
        with pytest.raises(FileError, match=r"cannot write .*report-figures \(File too large\): raise the limit"):
            write_report(tmp_path, "md")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert held(tmp_path) == before
    assert write_report(tmp_path, "md").read_bytes() == before["report.md"]
    assert held(tmp_path) == held(folder)


def test_where_the_page_cannot_be_written_the_old_figures_stay(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    (tmp_path / "report-figures" / "cell-1-signal.svg").write_text("of an older report")
    (tmp_path / "report.md").unlink()
    (tmp_path / "report.md").mkdir()
    before = held(tmp_path)
    with pytest.raises(FileError, match=r"cannot write .*report\.md"):
        write_report(tmp_path, "md")
    assert held(tmp_path) == before
