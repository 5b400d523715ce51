import attrs
import pytest

import optiscope
from optiscope.config import GridConfig
from optiscope.errors import PluginError, UsageError
from optiscope.sweep.cost import STEPS, _Rehearsed, foresee

GRID = GridConfig(model="quadratic", optimizers=["slow"], batch_sizes=[1], lrs=[0.1, 0.2], seeds=2, steps=50)

PLUGIN = """
import pathlib, time
import attrs
from optiscope.hooks import hookimpl
from optiscope.optim import SGD

@attrs.define(kw_only=True)
class Slow(SGD):
    name = "slow"
    fails: bool = False

    def update(self, params, grads, state, step):
        if self.fails:
            raise RuntimeError("not today")
        time.sleep({step})
        with pathlib.Path({made!r}).open("a") as made:
            made.write(".")
        super().update(params, grads, state, step)

@hookimpl
def optiscope_optimizers():
    return [Slow]

@hookimpl
def on_run_start(run):
    raise RuntimeError("hooks may keep what they see")

"""
STEP = 0.02


@pytest.fixture
def grid(tmp_path):
    (tmp_path / "plugin.py").write_text(PLUGIN.format(step=STEP, made=str(tmp_path / "made")))
    return attrs.evolve(GRID, plugins=[str(tmp_path / "plugin.py")])


def test_a_few_steps_of_each_kind_are_taken(grid, tmp_path):
    cost = foresee(attrs.evolve(grid, batch_sizes=[1, 2]), jobs=2)
    assert (tmp_path / "made").read_text() == 2 * STEPS * "."
    assert (len(cost.pending), cost.finished, cost.jobs) == (8, 0, 2)
    assert all(seconds > 50 * STEP for seconds in cost.seconds.values())
    assert {path.name for path in tmp_path.iterdir()} == {"plugin.py", "made"}


def test_the_time_is_that_of_steps_evaluations_and_all_else(grid, monkeypatch):
    measured = _Rehearsed(step=0.1, evaluation=1.0, overhead=2.0, metadata=1000)
    monkeypatch.setattr("optiscope.sweep.cost._rehearse", lambda *_, **__: measured)
    cost = foresee(attrs.evolve(grid, steps=250), jobs=3)
    assert list(cost.seconds.values()) == [pytest.approx(250 * 0.1 + 3 * 1.0 + 2.0)] * 4  # three epochs of 100 steps
    assert cost.total == pytest.approx(2 * 30.0)


def test_the_disk_is_enough_for_what_is_written(tmp_path):
    grid = GridConfig(model="quadratic", optimizers=["sgd"], batch_sizes=[1], lrs=[0.1, 0.2], steps=300)
    most = foresee(grid, jobs=1).most_bytes
    optiscope.characterize(grid, tmp_path, executor="in-process")
    written = sum(path.stat().st_size for path in tmp_path.glob("runs/*.h5"))
    assert written < most < 10 * written


def test_with_resume_it_is_about_what_is_left(tmp_path):
    grid = GridConfig(model="quadratic", optimizers=["sgd"], batch_sizes=[1], lrs=[0.1], steps=20)
    optiscope.characterize(grid, tmp_path, executor="in-process")
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    cost = foresee(attrs.evolve(grid, lrs=[0.1, 0.2]), tmp_path, resume=True)
    assert ([run.lr for run in cost.pending], cost.finished) == ([0.2], 1)
    nothing = foresee(grid, tmp_path, resume=True)
    assert (nothing.pending, nothing.total, nothing.most_bytes) == ((), 0, 0)
    with pytest.raises(UsageError, match="already holds a characterization"):
        foresee(grid, tmp_path)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_a_piece_that_raises_in_its_first_steps_is_named(grid):
    with pytest.raises(PluginError, match=r"optimizer 'slow' of plugin 'plugin' failed at step 1: .*not today"):
        foresee(attrs.evolve(grid, options={"slow": {"fails": True}}))


@pytest.mark.parametrize("how", [{"executor": "procesess"}, {"executor": "in-process", "jobs": 1.5}], ids=str)
def test_what_cannot_execute_it_is_refused(how):
    with pytest.raises(UsageError):
        foresee(GridConfig(model="quadratic"), **how)
