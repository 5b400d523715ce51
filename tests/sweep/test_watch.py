import os

import attrs
import h5py
import numpy as np
import pytest

from optiscope.config import GridConfig
from optiscope.records import RunResult
from optiscope.storage import RunWriter
from optiscope.sweep import plan
from optiscope.sweep.watch import TAIL, Watch

GRID = GridConfig(model="quadratic", optimizers=["sgd"], batch_sizes=[1], lrs=[0.1, 0.2], seeds=2, steps=400)
"""Two cells of two runs of 400 steps: 1,600 steps in all."""

STEP = 0.02
"""Seconds that a step takes by the clocks in the files."""


class Clock:
    """Time that moves when it is told to."""

    def __init__(self, monkeypatch):
        self.now = 100.0
        monkeypatch.setattr("optiscope.sweep.watch.time.monotonic", lambda: self.now)


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


@pytest.fixture
def runs():
    return plan(GRID)


def write(folder, run, steps, status=None, step=STEP):
    """Write `steps` steps of `run`, `step` seconds each: at step k the loss is k and the signal 10 k.

    Leave it live, or end it.
    """
    path = folder / f"{run.info.run_id}.h5"
    with RunWriter.create(path, run.info, run.signals, overwrite=True) as writer:
        for number in range(1, steps + 1):
            facts = {"loss": float(number), "accuracy": 0.5, "lr": 0.1, "wall_time": 3.0 + step * number}
            due = {name: [s for s in signals if s.due(number)] for name, signals in run.signals.items()}
            values = {
                name: {s.name: np.full(s.shape, 10.0 * number, s.dtype) for s in some} for name, some in due.items()
            }
            writer.write_step(number, facts, values)
        if status is not None:
            writer.finish(RunResult(run_id=run.info.run_id, status=status, steps=steps))
    return run.info.run_id


def test_before_anything_runs_all_cells_wait(tmp_path, runs, clock):
    progress = Watch(runs, tmp_path).look([run.info.run_id for run in runs])
    assert [(cell.lr, cell.runs, cell.steps) for cell in progress.cells] == [(0.1, 2, 800), (0.2, 2, 800)]
    assert {(cell.status, cell.step, cell.finished, cell.loss, cell.signal) for cell in progress.cells} == {
        ("waiting", 0, 0, None, ())
    }
    assert progress.remaining is None


@pytest.mark.parametrize("status", [None, "completed"])
def test_a_file_is_read_from_its_end(tmp_path, runs, clock, status, monkeypatch):
    monkeypatch.delattr("optiscope.storage.reader.Rows.__getitem__")  # it reads a series whole
    watch = Watch(runs, tmp_path)
    cell = watch.look([write(tmp_path, runs[0], 300, status)]).cells[0]
    assert (cell.step, cell.loss) == (300, 300.0)
    assert cell.signal == tuple(10.0 * step for step in range(300 - TAIL + 1, 301))
    cell = watch.look([write(tmp_path, runs[0], 3, status)]).cells[0]
    assert cell.signal == (10.0, 20.0, 30.0)


@pytest.mark.parametrize(
    ("ends", "word", "finished"),
    [
        ((None, None), "running", 0),
        (("completed", None), "running", 1),
        (("completed", "completed"), "completed", 2),
        (("completed", "diverged"), "diverged", 2),
        (("failed", "diverged"), "failed", 2),
    ],
)
def test_a_cell_has_one_word_for_its_runs(tmp_path, runs, clock, ends, word, finished):
    watch = Watch(runs, tmp_path)
    cell = watch.look([write(tmp_path, run, 2, end) for run, end in zip(runs, ends, strict=False)]).cells[0]
    assert (cell.status, cell.finished) == (word, finished)


def test_remaining_time_goes_by_the_steps_made(tmp_path, runs, clock):
    watch = Watch(runs, tmp_path)
    clock.now += 10
    progress = watch.look([write(tmp_path, runs[0], 400, "completed"), write(tmp_path, runs[1], 100)])
    assert progress.elapsed == 10
    assert progress.remaining == pytest.approx(1100 * STEP)


def test_remaining_time_goes_by_the_worker_that_ends_last(tmp_path, runs, clock):
    watch = Watch(runs, tmp_path, jobs=2)
    progress = watch.look([write(tmp_path, runs[0], 400, "completed"), write(tmp_path, runs[1], 100)])
    assert progress.remaining == pytest.approx(700 * STEP)


def test_what_a_run_takes_besides_its_steps_is_part_of_the_others(tmp_path, runs, clock):
    watch = Watch(runs, tmp_path)  # one worker
    first, second = (write(tmp_path, run, 400, "completed") for run in runs[:2])
    watch.take(RunResult(run_id=first, status="completed", steps=400, overhead=5.0))  # it paid for imports
    assert watch.look([first]).remaining == pytest.approx(1200 * STEP)
    watch.take(RunResult(run_id=second, status="completed", steps=400, overhead=0.5))
    assert watch.look([second]).remaining == pytest.approx(800 * STEP + 2 * 0.5)
    assert watch.look([write(tmp_path, runs[2], 100)]).remaining == pytest.approx(700 * STEP + 0.5)


def test_a_seed_is_expected_to_diverge_where_another_did(tmp_path, runs, clock):
    watch = Watch(runs, tmp_path)
    assert watch.look([write(tmp_path, runs[0], 40, "diverged")]).remaining == pytest.approx((40 + 800) * STEP)


def test_a_run_that_is_lost_takes_no_more_time(tmp_path, runs, clock):
    watch = Watch(runs, tmp_path)
    watch.look([write(tmp_path, runs[0], 100)])
    watch.lose(runs[0].info.run_id)
    progress = watch.look([runs[0].info.run_id])
    assert progress.remaining == pytest.approx((400 + 800) * STEP)
    assert (progress.cells[0].finished, progress.cells[0].status) == (1, "running")


def test_what_was_finished_before_does_not_speed_up_the_forecast(tmp_path, runs, clock):
    before = [write(tmp_path, run, 400, "completed", step=STEP / 10) for run in runs[:2]]
    watch = Watch(runs, tmp_path)
    watch.skip(before)
    progress = watch.look([])
    assert (progress.cells[0].status, progress.cells[0].finished, progress.remaining) == ("completed", 2, None)
    assert watch.look([write(tmp_path, runs[2], 200)]).remaining == pytest.approx(600 * STEP)


@pytest.mark.parametrize("status", [None, "failed"])
def test_an_old_file_says_nothing_until_its_run_replaces_it(tmp_path, runs, clock, status):
    run_id = write(tmp_path, runs[0], 300, status)
    watch = Watch(runs, tmp_path)
    cell = watch.look([run_id]).cells[0]
    assert (cell.status, cell.step, cell.finished) == ("waiting", 0, 0)
    write(tmp_path, runs[0], 5)
    cell = watch.look([run_id]).cells[0]
    assert (cell.status, cell.step, cell.finished) == ("running", 5, 0)


def test_what_a_run_is_taken_up_with_does_not_speed_up_the_forecast(tmp_path, runs, clock):
    run_id = write(tmp_path, runs[0], 300)
    watch = Watch(runs, tmp_path)
    assert watch.look([run_id]).cells[0].step == 0
    path = tmp_path / f"{run_id}.h5"
    os.utime(path, ns=(1, 1))
    assert watch.look([run_id]).remaining is None
    with h5py.File(path, "r+") as file:
        file["step/wall_time"][300:320] = 9.0 + 2.5 * STEP * np.arange(1, 21)
        file["run_state"][0] = 320
    assert watch.look([run_id]).remaining == pytest.approx((1600 - 320) * 2.5 * STEP)


def test_a_damaged_file_leaves_what_was_known(tmp_path, runs, clock):
    watch = Watch(runs, tmp_path)
    run_id = write(tmp_path, runs[0], 5)
    known = watch.look([run_id]).cells
    (tmp_path / f"{run_id}.h5").write_bytes(b"x")
    assert watch.look([run_id], ["an event"]) == attrs.evolve(watch.look([]), cells=known, events=("an event",))


def test_cells_of_other_settings_are_others_and_called_so(tmp_path, clock):
    settings = {
        "optimizers": ["adam", "adam(beta1=0.8)"],
        "model": ["quadratic", "rosenbrock"],
        "reduction": ["sum", "mean"],
    }
    progress = Watch(plan(attrs.evolve(GRID, lrs=[0.1], **settings)), tmp_path).look(())
    assert [(cell.optimizer, cell.runs) for cell in progress.cells] == [
        (f"adam(beta1={beta1}) on {model}, {reduction}", 2)
        for beta1 in (0.9, 0.8)
        for model in ("quadratic", "rosenbrock")
        for reduction in ("sum", "mean")
    ]
