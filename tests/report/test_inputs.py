import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from optiscope.analysis import measure
from optiscope.labels import read_document
from optiscope.report.inputs import BAND, Track, read_cells

MakeTrack = Callable[..., Track]


def test_a_run_file_becomes_a_track(study: Path) -> None:
    cells = read_cells(study, read_document(study))
    first = cells[0].runs[0]
    assert first.track is not None
    assert first.track.step.tolist() == list(range(1, 401))
    assert first.track.epoch_step.tolist() == [100, 200, 300, 400]
    assert first.track.val_accuracy[-1] == pytest.approx(0.95 - 0.85 * np.exp(-400 / 150))
    assert (first.track.burn_in, first.track.status, first.track.first_step) == (100, "completed", None)
    assert first.config["config"]["optimizer"] == "sgd"
    diverged = cells[1].runs[0].track
    assert diverged is not None
    assert (diverged.step.size, diverged.status, diverged.first_step) == (200, "diverged", 172)
    assert np.isnan(diverged.loss[-1])


def test_the_envelope_is_the_one_that_the_analyzer_measures(make_track: MakeTrack) -> None:
    signal = np.cumsum(np.random.default_rng(0).standard_normal(500)) * 0.05 + np.random.default_rng(1).random(500)
    drawn, measured = make_track(signal, burn_in=60).envelope, measure(signal, 60)
    assert drawn is not None
    assert measured is not None
    assert drawn.half_width == pytest.approx(BAND * measured.sigma, rel=1e-12)
    assert drawn.step[0] == measured.steps[0]
    assert drawn.median[100] == np.median(signal[160 - 25 : 160 + 26])


def test_no_envelope_where_nothing_finite_follows_the_burn_in(make_track: MakeTrack) -> None:
    signal = np.r_[np.ones(10), np.full(20, np.nan)]
    assert make_track(signal, burn_in=10).envelope is None
    assert make_track(np.empty(0)).envelope is None


def test_the_run_that_is_drawn_has_the_verdict_of_the_cell(study: Path) -> None:
    document = read_document(study)
    document["cells"][2]["verdict"] = "unstable"
    cell = read_cells(study, document)[2]
    assert cell.shown is cell.runs[2]


def test_a_missing_run_file_is_a_gap_with_a_reason(study: Path, tmp_path: Path) -> None:
    shutil.copy(study / "characterization.json", tmp_path)
    cell = read_cells(tmp_path, read_document(tmp_path))[0]
    assert cell.shown is None
    assert "sgd-b50-s0.h5" in cell.runs[0].missing
