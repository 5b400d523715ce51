"""Legends name the marks that the figures below them have, and no others."""

import json
import re
from collections.abc import Callable
from html import unescape
from pathlib import Path

import attrs
import pytest

from optiscope.labels import read_document
from optiscope.report import draw_max_lr, write_report
from optiscope.report.inputs import read_cells
from optiscope.report.legends import signal_legend
from optiscope.report.max_lr import max_lr_sections
from optiscope.report.page import entries_of

SIGNAL = ["5 % quantile", "minimum over", "lower envelope", "burn-in"]


def legends(page: str) -> list[list[str]]:
    """Return what the items of each legend of a page say."""
    return [
        [unescape(re.sub(r"<[^>]*>", "", item)) for item in re.findall(r"<li>(.*?)</li>", legend, re.DOTALL)]
        for legend in re.findall(r'<ul class="legend">(.*?)</ul>', page, re.DOTALL)
    ]


def begin(said: list[str], expected: list[str]) -> bool:
    return len(said) == len(expected) and all(map(str.startswith, said, expected))


@pytest.mark.parametrize(
    ("cells", "of_map", "signal", "training"),
    [
        (
            [("adam", 50, ["stable"], "stable")],
            ["P(unstable), its mean and interval: a disc is stable, hollow where there is one seed"],
            SIGNAL,
            ["each training batch", "running median over 51 steps", "all test images, after each epoch"],
        ),
        (
            [("sgd", 50, ["unstable"], "unstable")],
            [
                "P(unstable), its mean and interval: a cross is unstable, hollow where there is one seed",
                "largest stable learning rate by theory, where it is known",
            ],
            [*SIGNAL, "first alarm"],
            ["each training batch", "running median over 51 steps", "all test images, after each epoch", "first alarm"],
        ),
        (
            [("adam", 50, ["stable", "stable"], "undecided")],
            ["P(unstable), its mean and interval: a diamond is undecided"],
            [*SIGNAL[:3], "the same curve of other seeds", SIGNAL[3]],
            [
                "running median over 51 steps: over the seeds median, least and greatest",
                "all test images, after each epoch: over the seeds median, least and greatest",
            ],
        ),
        (
            [("adam", 50, ["stable", "stable"], "undecided"), ("adam", 100, ["unstable"], "unstable")],
            [
                "P(unstable), its mean and interval: a cross is unstable, a diamond is undecided, "
                "hollow where there is one seed"
            ],
            [*SIGNAL[:3], "the same curve of other seeds", SIGNAL[3], "first alarm"],
            [
                "each training batch, where there is one seed",
                "running median over 51 steps: over the seeds median, least and greatest",
                "all test images, after each epoch: over the seeds median, least and greatest",
                "first alarm",
            ],
        ),
    ],
)
def test_of_a_report(
    tmp_path: Path,
    make_study: Callable[..., Path],
    cells: list[tuple[str, int, list[str], str]],
    of_map: list[str],
    signal: list[str],
    training: list[str],
) -> None:
    found = legends(write_report(make_study(tmp_path, cells)).read_text(encoding="utf-8"))
    assert found[0] == of_map
    assert begin(found[1], signal), found[1]
    assert found[2] == training
    lines = re.findall(r"^- .*?: (.*)$", write_report(tmp_path, "md").read_text(encoding="utf-8"), re.MULTILINE)
    assert lines[: len(of_map)] == of_map


def test_of_outputs_that_are_no_logits(study: Path) -> None:
    document = read_document(study)
    entries = entries_of(document, read_cells(study, document))[:2]
    other = entries[1].cell.runs[0]
    cell = attrs.evolve(entries[1].cell, runs=(attrs.evolve(other, track=attrs.evolve(other.track, output="x")),))
    for chosen, words in (
        (entries, "logits of 50 images"),
        ([entries[0], attrs.evolve(entries[1], cell=cell)], "logits or x of 50 rows"),
        ([attrs.evolve(entries[1], cell=cell)], "x of 50 rows"),
    ):
        assert signal_legend(chosen)[0][1] == f"5 % quantile of the {words} of the batch"


SEARCH = {
    "optimizer": "sgd",
    "batch_size": 10,
    "model": "quadratic",
    "confidence": 0.9,
    "lr_max": None,
    "low": 0.1,
    "high": None,
    "lr_5_percent": None,
    "closed_form": None,
    "evidence": [{"lr": 0.1, "seed": 0, "result": "stable", "run_id": "r"}],
}
UNSTABLE = {"lr": 0.3, "seed": 0, "result": "unstable", "run_id": "s"}
ENCLOSED = {"lr_max": 0.2, "high": 0.3, "lr_5_percent": 0.15, "evidence": [*SEARCH["evidence"], UNSTABLE]}


@pytest.mark.parametrize(
    ("facts", "expected", "drawn"),
    [
        ({}, ["runs: a disc is stable"], ["stable"]),
        ({"closed_form": 0.2}, ["runs: a disc is stable", "largest stable"], ["stable", "theory"]),
        ({"closed_form": 100.0}, ["runs: a disc is stable"], ["stable"]),
        (
            ENCLOSED,
            ["runs: a disc is stable, a cross is unstable", "fitted P(unstable), and the 90 %"],
            ["stable", "unstable", "fitted P(unstable)", "90 % interval"],
        ),
        ({"evidence": []}, [], []),
    ],
)
def test_of_a_search(tmp_path: Path, facts: dict, expected: list[str], drawn: list[str]) -> None:
    (tmp_path / "max-lr.json").write_text(json.dumps(SEARCH | facts))
    (section,) = max_lr_sections(tmp_path)
    assert begin([text for _, text in section.body[1].legend], expected)
    svg = draw_max_lr(tmp_path / "max-lr.json").read_text(encoding="utf-8")
    known = {"stable", "unstable", "undecided", "fitted P(unstable)", "90 % interval", "theory"}
    assert set(re.findall(r"<text[^>]*>([^<]*)</text>", svg)) & known == set(drawn)
