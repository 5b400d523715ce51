"""The page of a reproduction, on two parts that are written down here."""

import re
from pathlib import Path

import pytest

from optiscope.errors import FileError
from optiscope.labels.reproduction import FILE_NAME
from optiscope.report import write_report


@pytest.fixture(scope="module")
def page(reproduced: Path) -> str:
    path = write_report(reproduced)
    assert path == reproduced / "report.html"
    return path.read_text(encoding="utf-8")


def test_a_row_a_setting_by_batch_size_and_the_papers_optimizers_first(page: str) -> None:
    figures = re.findall(r'<figure id="([^"]*)-signal"', page)
    assert figures == ["sgd-sum-cell-2", "sgd-sum-cell-1", "others-sum-cell-1", "adam-mean-cell-1"]
    assert re.findall(r"<h3>([^<]*)</h3>", page) == [
        "sgd, lr 0.01, sum",
        "nag, lr 0.01, sum",
        "adam-inside, lr 0.01, mean",
    ]
    assert len(re.findall(r"<svg [^>]*role=\"img\"", page)) == 4


@pytest.mark.parametrize(
    ("key", "caption"),
    [
        ("sgd-sum-cell-2", "stable, one seed; panel 1 of the paper: A unstable, B stable, C stable, D stable"),
        ("sgd-sum-cell-1", "unstable, one seed; panel 4 of the paper: A stable, B stable, C unstable, D unstable"),
        ("adam-mean-cell-1", "unstable, one seed; panel 6 of the paper: A stable, B stable, C \N{EN DASH}, D stable"),
        ("others-sum-cell-1", "stable, one seed"),
    ],
)
def test_below_a_panel_stands_what_was_measured_and_what_the_paper_says(page: str, key: str, caption: str) -> None:
    """The paper's words are those of SCIENCE.md, part 1, by which it says nothing of Adam 100 in its prose."""
    figure = page.partition(f'<figure id="{key}-signal"')[2].partition("</figure>")[0]
    assert re.sub(r"<[^>]*>", "", figure.partition("<figcaption>")[2]).strip() == caption


def test_how_far_each_place_agrees_is_told(page: str) -> None:
    assert page.count("0.61 (0.40 to 0.80; 0.50)") == 4


def test_the_effective_step_is_told(page: str) -> None:
    row = page.partition("training loss at the end, over log K")[2].partition("</tr>")[0]
    assert re.sub(r"<[^>]*>", " ", row).split() == ["0.123", "\N{EN DASH}", "0.568", "undecided"]
    assert "By the verdicts of SGD: k = 0.52." in page


def test_every_link_leads_somewhere(page: str) -> None:
    assert set(re.findall(r'<a href="#([^"]*)"', page)) <= set(re.findall(r' id="([^"]*)"', page))


def test_a_damaged_document_is_one_sentence(reproduced: Path, tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_text("{}")
    with pytest.raises(FileError, match=r"reproduction\.json is damaged .*: write it anew with 'optiscope reproduce"):
        write_report(tmp_path)
