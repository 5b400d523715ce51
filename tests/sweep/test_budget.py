"""A budget over a whole grid, with a plugin file whose recorder sleeps."""

import json

import attrs
import h5py
import numpy as np
import pytest

import optiscope
from optiscope.cli import main
from optiscope.config import GridConfig
from optiscope.errors import PluginError
from optiscope.sweep import run as sweep_run

SLOW = """
import time
from optiscope.hooks import hookimpl
from optiscope.records import Signal

class Slow:
    name = "slow"

    def signals(self, run):
        return (Signal("x", every=2),)

    def record(self, step, quantities):
        time.sleep(0.02)
        return {"x": step}

@hookimpl
def optiscope_recorders():
    return [Slow]

@hookimpl
def on_step(step):
    time.sleep(0.002)
"""


@pytest.fixture
def grid(tmp_path):
    """Two batch sizes of a small network, whose steps take some milliseconds."""
    (tmp_path / "slow.py").write_text(SLOW)
    options = {"synthetic": {"train": 200, "test": 20}}
    return GridConfig(
        optimizers=["sgd"], batch_sizes=[20, 10], steps=40, options=options, plugins=[str(tmp_path / "slow.py")]
    )


@pytest.fixture
def characterize(tmp_path):
    """Return a function that runs a grid in this process and returns its events and its run files."""

    def run(grid, name="out", **more):
        events = []
        optiscope.characterize(
            grid, tmp_path / name, executor="in-process", on_progress=lambda seen: events.extend(seen.events), **more
        )
        return events, sorted((tmp_path / name).glob("runs/*.h5"))

    return run


@pytest.fixture
def budgeted(grid, characterize):
    return *characterize(attrs.evolve(grid, budget=5)), grid


def held(path):
    return json.loads((path.parents[1] / "grid.json").read_text())["grid"]


def test_a_slow_recorder_is_thinned_alike_in_all_runs(budgeted):
    events, files, _ = budgeted
    factor = held(files[0])["thin"]["slow"]
    assert factor >= 2
    assert len(files) == 2
    assert [event for event in events if event.startswith("recorder slow takes")]
    for path in files:
        with optiscope.open_run(path) as run:
            asked = run.config["config"]
            assert (asked["budget"], asked["thin"]["slow"]) == (5, factor)
            assert run.plugins["slow"]["step"].tolist() == list(range(1, 41, 2 * factor))
            assert run.plugins["slow"]["x"].tolist() == list(range(1, 41, 2 * factor))


def test_the_true_cost_is_in_every_file(budgeted):
    for path in budgeted[1]:
        with optiscope.open_run(path) as run:
            rows = len(run.plugins["slow"]["x"])
            assert run.observer_time["recorder slow"] >= 0.02 * rows
            assert run.observer_time["hooks of slow"] >= 0.002 * 40
            assert sum(run.observer_time.values()) < run.attrs["wall_time"]
            assert set(run.observer_time) >= {"recorder step", "recorder probe", "recorder epoch", "writer"}


def test_training_has_the_same_bits_with_and_without(budgeted, characterize):
    _, files, grid = budgeted
    _, plain = characterize(grid, "plain")
    assert [path.name for path in files] == [path.name for path in plain]
    for one, other in zip(files, plain, strict=True):
        with optiscope.open_run(one) as a, optiscope.open_run(other) as b:
            assert a.attrs["digest"] == b.attrs["digest"]
            assert a.epochs["digest"].tobytes() == b.epochs["digest"].tobytes()
            assert len(a.plugins["slow"]["x"]) < len(b.plugins["slow"]["x"]) == 20


def content(path):
    """Return all that a file holds but what follows the clock."""
    clocked = ("created_utc", "content_sha256")
    with h5py.File(path) as file:
        found = {f"@{name}": value for name, value in file.attrs.items() if "time" not in name and name not in clocked}
        names = []
        file.visit(names.append)
        for name in names:
            if "time" not in name and isinstance(file[name], h5py.Dataset):
                found[name] = file[name][...]
        found["run_state"] = found["run_state"][:3]
        return found


def test_frozen_schedules_give_the_same_content_again(budgeted, characterize, monkeypatch):
    _, files, grid = budgeted
    monkeypatch.setattr(sweep_run, "measure", None)
    frozen = attrs.evolve(grid, budget=5, thin=held(files[0])["thin"])
    events, again = characterize(frozen, "again")
    assert events == []
    for one, other in zip(files, again, strict=True):
        before, after = content(one), content(other)
        assert before.keys() == after.keys()
        for name in before:
            np.testing.assert_array_equal(before[name], after[name], err_msg=name)


def test_resume_does_not_measure_again(budgeted, characterize, monkeypatch):
    _, files, grid = budgeted
    monkeypatch.setattr(sweep_run, "measure", None)
    _, longer = characterize(attrs.evolve(grid, budget=5, seeds=2), resume=True)
    assert len(longer) == 4
    rows = set()
    for path in longer:
        with optiscope.open_run(path) as run:
            rows.add(len(run.plugins["slow"]["x"]))
    assert len(rows) == 1
    assert held(longer[0])["thin"] == held(files[0])["thin"]


def test_the_smallest_batch_is_measured(grid, characterize, monkeypatch):
    asked = []
    monkeypatch.setattr(sweep_run, "measure", lambda run: asked.append(run.info.batch_size) or ())
    characterize(attrs.evolve(grid, budget=5))
    assert asked == [10]


def test_a_recorder_that_cannot_be_measured_ends_it_before_anything_is_written(grid, characterize, tmp_path):
    (tmp_path / "slow.py").write_text(SLOW.replace("time.sleep(0.02)", "raise RuntimeError('on purpose')"))
    with pytest.raises(PluginError, match="--budget cannot be measured: recorder 'slow' of plugin 'slow' failed"):
        characterize(attrs.evolve(grid, budget=5))
    assert not (tmp_path / "out").exists()


def test_the_user_is_told_in_a_line_each_and_the_report_shows_it(grid, tmp_path, capsys):
    words = ["--optimizers", "sgd", "--batch-sizes", "10", "--steps", "20", "--executor", "in-process", "--budget", "1"]
    words += ["--set", "synthetic.train=200", "synthetic.test=20", "--plugin", *grid.plugins]
    assert main(["characterize", *words, "--out", str(tmp_path / "o")]) == 0
    said = capsys.readouterr()
    lines = said.err.splitlines()
    assert sum(line.startswith("recorder slow takes ") for line in lines) == 1
    assert sum(line == "hooks of slow: over --budget 1, and hooks cannot be thinned" for line in lines) == 1
    assert sum(line.split() == ["observer", "time", "share", "of", "the", "runs"] for line in lines) == 1
    assert said.out.startswith("optimizer")
    page = (tmp_path / "o" / "report.html").read_text()
    for part in ("Cost of observing", "hooks of slow", "recorder slow", "Thinned: ", "--budget 1", "--thin slow="):
        assert part in page
