"""The figure of max-lr: what stands where, for documents that are written down here."""

import json

import numpy as np
import pytest

from optiscope.analysis import Trial, locate
from optiscope.errors import FileError
from optiscope.report import draw_max_lr
from optiscope.report.blocks import Page
from optiscope.report.html import render
from optiscope.report.max_lr import max_lr_figure, max_lr_sections

GAPS = (0.01, 0.02, 0.03, 0.05, 0.08, 0.13, 0.2, 0.4, 1.4)
RUNS = {round(0.5 * np.exp(-gap), 6): "stable" for gap in GAPS} | {0.5: "undecided"}
RUNS |= {round(0.5 * np.exp(gap), 6): "unstable" for gap in GAPS}


def found(runs=RUNS, theory=0.49, **more):
    """What a search would write that made `runs`."""
    decided = [Trial(lr, result) for lr, result in runs.items() if result != "failed"]
    boundary = locate(decided)
    return {
        "optimizer": "sgd",
        "model": "quadratic",
        "batch_size": 1,
        "lr_max": boundary.lr,
        "low": boundary.low,
        "high": boundary.high,
        "confidence": 0.9,
        "closed_form": theory,
        "evidence": [{"lr": lr, "result": result} for lr, result in runs.items()],
    } | more


def panels(*documents):
    return max_lr_figure(documents).axes


def lines(ax):
    """The lines of a panel by their marker: where runs stand, the curve (None), and theory (dashed)."""
    return {
        "theory" if line.is_dashed() else line.get_marker(): (line.get_xdata(), line.get_ydata()) for line in ax.lines
    }


def said(ax):
    return {text.get_text() for text in ax.texts}


def test_runs_stand_at_their_lr_and_arrows_count_those_beyond_the_edges():
    document = found()
    (ax,) = panels(document)
    low, high = ax.get_xlim()
    assert low < document["low"] < document["high"] < high
    assert ax.get_xscale() == "log"
    for marker, outcome, height in (("o", "stable", 0), ("X", "unstable", 1), ("D", "undecided", 0.5)):
        lrs, heights = lines(ax)[marker]
        assert list(lrs) == [lr for lr, result in RUNS.items() if result == outcome and low <= lr <= high]
        assert set(heights) == {height}
    beyond = {f"\u2190 {sum(lr < low for lr in RUNS)}", f"{sum(lr > high for lr in RUNS)} \u2192"}
    assert beyond < said(ax)
    assert min(RUNS) < low
    assert high < max(RUNS)


def test_the_curve_is_the_fit_and_theory_is_drawn_over_it():
    document = found()
    (ax,) = panels(document)
    lrs, share = lines(ax)["None"]
    assert np.interp(document["lr_max"], lrs, share) == pytest.approx(0.5, abs=0.1)
    assert (np.diff(share) >= 0).all()
    assert lines(ax)["theory"][0] == [0.49, 0.49]
    (band,) = [patch.get_extents().transformed(ax.transData.inverted()) for patch in ax.patches]
    assert (band.x0, band.x1) == pytest.approx((document["low"], document["high"]))
    assert f"{document['lr_max']:.4g} ({document['low']:.4g} to {document['high']:.4g}), theory 0.49" in said(ax)


@pytest.mark.parametrize(
    ("runs", "words"),
    [
        ({0.1: "stable", 0.4: "stable"}, "above 0.4"),
        ({0.4: "unstable", 0.1: "unstable", 0.2: "failed"}, "below 0.1, if anywhere"),
        ({0.1: "undecided"}, "not known"),
        ({0.1: "failed"}, "not known"),
    ],
)
def test_without_a_boundary_every_run_is_shown_and_no_curve(runs, words):
    (ax,) = panels(found(runs, theory=None))
    low, high = ax.get_xlim()
    assert all(low < lr < high for lr, result in runs.items() if result != "failed")
    assert said(ax) == {words}
    assert "None" not in lines(ax)


def test_a_theory_that_is_far_away_is_told_and_not_drawn():
    (ax,) = panels(found(theory=50.0))
    assert ax.get_xlim()[1] < 1
    assert "theory" not in lines(ax)
    assert any(text.endswith("theory 50") for text in said(ax))


def test_optimizers_go_down_and_batch_sizes_across():
    documents = [found(optimizer=name, batch_size=size) for name in ("sgd", "my_$adam$") for size in (1, 10, 100)]
    axes = panels(*documents)
    titles = [ax.get_title(loc="left").strip() for ax in axes]
    assert titles == [f"{name}, batch {size}" for name in ("sgd", "my_$adam$") for size in (1, 10, 100)]
    places = [(ax.get_subplotspec().rowspan.start, ax.get_subplotspec().colspan.start) for ax in axes]
    assert places == [(row, column) for row in range(2) for column in range(3)]


@pytest.mark.parametrize("several", [False, True])
def test_the_file_stands_beside_the_document_and_is_the_same_each_time(tmp_path, several):
    path = tmp_path / "max-lr.json"
    path.write_text(json.dumps([found(), found(batch_size=2)] if several else found()))
    figure = draw_max_lr(path)
    assert figure == tmp_path / "max-lr.svg"
    first = figure.read_bytes()
    assert first.count(b"fitted P(unstable)") == 1
    assert first.count(b", batch 2") == several
    assert draw_max_lr(path).read_bytes() == first


def test_a_report_shows_the_searches_of_its_folder(tmp_path):
    assert max_lr_sections(tmp_path) == ()
    of_sum = {"reduction": "sum", "why": "the interval is wide", "closed_form": None, "lr_5_percent": 0.4}
    several = [found(reduction="mean", lr_5_percent=0.45), found(**of_sum)]
    (tmp_path / "max-lr.json").write_text(json.dumps(several))
    (section,) = max_lr_sections(tmp_path)
    table, gallery = section.body
    lr_max = f"{several[0]['lr_max']:.4g}"
    assert [row[:3] for row in table.rows] == [("sgd, mean", "1", lr_max), ("sgd, sum", "1", lr_max)]
    assert [row[5:] for row in table.rows] == [("0.45", "0.49", ""), ("0.4", "\N{EN DASH}", "the interval is wide")]
    for figure, document in zip(gallery.figures, several, strict=True):
        (ax,) = figure.draw().axes
        assert ax.get_title(loc="left").strip() == f"sgd, {document['reduction']}, batch 1"
        assert ("theory" in lines(ax)) == (document["closed_form"] is not None)
        assert figure.data()["lr"] == list(RUNS)
    page = render(Page(title="", heading="", body=(section,)))
    assert page.count("<figcaption>") == 2


def test_a_damaged_file_is_one_sentence(tmp_path):
    (tmp_path / "max-lr.json").write_text('[{"optimizer": "sgd"}]')
    with pytest.raises(
        FileError, match=r"max-lr\.json is damaged \('batch_size'\): write it anew with 'optiscope max-lr"
    ):
        max_lr_sections(tmp_path)
