import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from optiscope.analysis import envelope
from optiscope.labels import read_document
from optiscope.report.inputs import BAND, AlarmMark, Track, read_cells
from optiscope.storage.files import Lock

MakeTrack = Callable[..., Track]
MakeStudy = Callable[..., Path]


def test_a_run_file_becomes_a_track(study: Path) -> None:
    cells = read_cells(study, read_document(study))
    first = cells[0].runs[0]
    assert first.track is not None
    assert first.track.step.tolist() == list(range(1, 401))
    assert first.track.epoch_step.tolist() == [100, 200, 300, 400]
    assert first.track.val_accuracy[-1] == pytest.approx(0.95 - 0.85 * np.exp(-400 / 150))
    assert (first.track.bound.burn, first.track.status, first.track.first_step) == (100, "completed", None)
    assert first.track.output == "logits"
    assert first.config["config"]["optimizer"] == "sgd"
    diverged = cells[1].runs[0].track
    assert diverged is not None
    assert (diverged.step.size, diverged.status, diverged.first_step) == (200, "diverged", 172)
    assert np.isnan(diverged.loss[-1])


def test_a_run_that_nobody_writes_any_more_is_lost(make_study: MakeStudy, tmp_path: Path) -> None:
    make_study(tmp_path, [("sgd", 50, ["lost"], "undecided")])
    ((run,),) = (cell.runs for cell in read_cells(tmp_path, read_document(tmp_path)))
    assert run.track is not None
    assert (run.track.status, run.judged["status"], run.track.step.size) == ("lost", "lost", 10)


@pytest.mark.parametrize(("lost", "status"), [([], "running"), ([{"run_id": "sgd-b50-s0", "why": "killed"}], "lost")])
def test_a_run_that_is_held_is_lost_where_the_characterization_says_so(
    make_study: MakeStudy, tmp_path: Path, lost: list[dict[str, str]], status: str
) -> None:
    make_study(tmp_path, [("sgd", 50, ["lost"], "undecided")])
    document = {**read_document(tmp_path), "lost": lost}
    lock = Lock(tmp_path / "runs" / "sgd-b50-s0.h5")
    ((run,),) = (cell.runs for cell in read_cells(tmp_path, document))
    lock.release()
    assert run.track is not None
    assert (run.track.status, run.judged["status"]) == (status, status)


def test_a_run_that_ended_after_all_is_not_lost(study: Path) -> None:
    lost = [{"run_id": "sgd-b50-s0", "why": "its worker did not answer"}]
    run = read_cells(study, {**read_document(study), "lost": lost})[0].runs[0]
    assert run.track is not None
    assert (run.track.status, run.judged["status"]) == ("completed", "completed")


@pytest.mark.parametrize(("last", "told"), [(7, "envelope X at step 7"), (9, "envelope X at steps 7 to 9")])
def test_where_an_alarm_is(last: int, told: str) -> None:
    assert AlarmMark("envelope X", 7, last).told == told


def test_the_envelope_is_the_one_that_the_analyzer_judges(make_track: MakeTrack) -> None:
    rng = np.random.default_rng(0)
    iqr = np.linspace(5, 9, 500) * (1 + 0.1 * rng.standard_normal(500))
    q05 = iqr * (-2 + 0.2 * rng.standard_normal(500))
    drawn, judged = make_track(q05, steps_per_epoch=60, spread=iqr).envelope, envelope(q05, iqr, 60)
    assert drawn is not None
    assert judged.statistic is not None
    assert drawn.step.tolist() == list(range(61, 501))
    window = slice(300 - 26, 300 + 25)  # 25 steps to either side of step 300
    s = np.array([np.median(iqr[max(t - 25, 0) :][:51]) for t in range(475)])
    assert drawn.median[300 - 61] == pytest.approx(s[299] * np.median((q05[:475] / s)[window]))
    for edge, sign in ((drawn.low, -1), (drawn.high, 1)):
        assert edge[300 - 61] - drawn.median[300 - 61] == pytest.approx(sign * BAND * judged.statistic * s[299])


def test_the_envelope_ends_before_the_first_number_that_is_none(make_track: MakeTrack) -> None:
    signal = np.sin(np.arange(300.0))
    signal[250] = np.nan
    drawn = make_track(signal, steps_per_epoch=60).envelope
    assert drawn is not None
    assert (drawn.step[0], drawn.step[-1]) == (61, 250)


def test_without_a_spread_there_is_no_envelope(make_track: MakeTrack) -> None:
    assert make_track(np.sin(np.arange(300.0)), spread=np.zeros(300)).envelope is None


def test_no_envelope_where_nothing_finite_follows_the_burn_in(make_track: MakeTrack) -> None:
    signal = np.r_[np.ones(10), np.full(20, np.nan)]
    assert make_track(signal, steps_per_epoch=10).envelope is None
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
