"""Workers that fail: what it costs, who is tried again, who is charged, and what is said of it."""

import json
from pathlib import Path

import attrs
import pytest

import optiscope
from optiscope.config import GridConfig
from optiscope.errors import FileError, PluginError, UsageError
from optiscope.storage import open_grid
from optiscope.storage.files import Lock
from optiscope.sweep import execute as sweep_execute
from optiscope.sweep import plan

GRID = GridConfig(model="quadratic", optimizers=["failing"], batch_sizes=[1], steps=250)

FAILING = """
import os, pathlib, signal
import attrs
from optiscope.hooks import hookimpl
from optiscope.optim import SGD

MARKS = pathlib.Path({marks!r})

def kill():
    os.kill(os.getpid(), signal.SIGKILL)

def leave():
    os._exit(3)

def need_more():
    raise MemoryError

HOW = {{0.1: kill, 0.2: leave, 0.3: need_more}}

@attrs.define(kw_only=True)
class Failing(SGD):
    name = "failing"
    times: int = 1

    def update(self, params, grads, state, step):
        super().update(params, grads, state, step)
        mark = MARKS / str(self.lr)
        if self.lr in HOW and step == 230:
            failed = len(mark.read_text()) if mark.exists() else 0
            if failed < self.times:
                mark.write_text("x" * (failed + 1))
                HOW[self.lr]()

@hookimpl
def optiscope_optimizers():
    return [Failing]
"""
"""Fails at a step in its third epoch (of 100), in a way and as often as asked."""

EXECUTORS = """
import multiprocessing
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor
from optiscope.hooks import hookimpl

class Pool(ProcessPoolExecutor):
    name = "pool"

    def __init__(self, jobs=1):
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["optiscope.sweep.worker"])
        super().__init__(jobs, mp_context=context)

class Stillborn(Executor):
    name = "stillborn"

    def __init__(self, jobs=1):
        pass

    def submit(self, fn, /, *args, **kwargs):
        future = Future()
        future.set_exception(BrokenExecutor("it cannot start"))
        return future

class Raising(Executor):
    name = "raising"
    ahead = 0

    def __init__(self, jobs=1, time_limit=None):
        self.time_limit = time_limit

    def submit(self, fn, /, config, folder):
        future = Future()
        if config.lr > 0.5:
            future.set_exception(TimeoutError("Task timeout", self.time_limit))
        elif config.lr > 0.4:
            future.cancel()
        else:
            future.set_result(fn(config, folder))
        return future

class Losing(Executor):
    name = "losing"
    ahead = 0

    def __init__(self, jobs=1):
        self.lost = []

    def submit(self, fn, /, *work):
        future = Future()
        if not self.lost:
            self.lost.append(work)
            future.set_exception(RuntimeError("where\\nis it? Nobody knows. More can be read elsewhere."))
        else:
            fn(*self.lost[0])
            future.set_result(fn(*work))
        return future

@hookimpl
def optiscope_executors():
    return [Pool, Stillborn, Raising, Losing]
"""


@pytest.fixture
def grid(tmp_path):
    """Return a function that makes a grid at some learning rates, whose runs fail so many times."""
    sources = {"failing.py": FAILING.format(marks=str(tmp_path)), "executors.py": EXECUTORS}
    for name, source in sources.items():
        (tmp_path / name).write_text(source)
    plugins = [str(tmp_path / name) for name in sources]
    return lambda *lrs, times=1: attrs.evolve(GRID, lrs=lrs, plugins=plugins, options={"failing": {"times": times}})


@pytest.fixture
def characterize(tmp_path):
    """Return a function that runs a grid, and returns what came of it: verdicts, events, and digests by lr."""

    def run(grid, **how):
        events = []
        out = tmp_path / "out"
        found = optiscope.characterize(grid, out, on_progress=lambda seen: events.extend(seen.events), **how)
        return found, events, digests(out)

    return run


def digests(out):
    found = {}
    for row in open_grid(out).runs:
        with optiscope.open_run(row["path"]) as run:
            found[row["lr"]] = run.attrs.get("digest", run.status)
    return found


def by_lr(grid):
    return {run.info.lr: run.info.run_id for run in plan(grid)}


def test_a_run_whose_worker_dies_is_tried_once_more_from_its_last_state(grid, characterize, tmp_path):
    asked = grid(0.1, 0.3, 0.5)
    found, events, made = characterize(asked, jobs=1)
    ids = by_lr(asked)
    assert [event for event in events if "tried once more" in event] == [
        f"{ids[0.1]}: its worker died (SIGKILL); it is tried once more",
        f"{ids[0.3]}: it ran out of memory; it is tried once more",
    ]
    assert [event for event in events if "taken up" in event] == [
        f"{ids[0.1]}: taken up after step 200, 20 steps computed again",
        f"{ids[0.3]}: taken up after step 200, 29 steps computed again",
    ]
    assert found.lost == {}
    optiscope.characterize(asked, tmp_path / "whole", executor="in-process")  # there is nothing left to fail
    assert made == digests(tmp_path / "whole")
    assert len(set(made.values())) == 3


def test_one_that_fails_again_is_lost_and_named_everywhere(grid, characterize, tmp_path):
    asked = grid(0.2, 0.5, times=2)
    found, events, made = characterize(asked, jobs=1)
    lost = by_lr(asked)[0.2]
    why = "its worker died (exit code 3); tried again, its worker died (exit code 3)"
    assert found.lost == {lost: why}
    assert f"{lost}: {why}; --resume runs it again" in events
    assert (tmp_path / "0.2").read_text() == "xx"
    document = json.loads((tmp_path / "out" / "characterization.json").read_text())
    assert document["lost"] == [{"run_id": lost, "why": why}]
    (cell, other) = document["cells"]
    assert (cell["verdict"], cell["runs"][0]["why"]) == ("undecided", f"the run has not ended: {why}")
    assert (other["runs"][0]["status"], made[0.2]) == ("completed", "running")
    found, events, made = characterize(asked, executor="in-process", resume=True)
    assert (found.lost, events) == ({}, [f"{lost}: taken up after step 200, 20 steps computed again"])


def test_of_the_runs_that_break_a_pool_only_the_one_at_fault_is_charged(grid, characterize, tmp_path):
    asked = grid(0.1, 0.45, 0.5, 0.6, 0.7, 0.8, times=9)
    found, events, made = characterize(asked, executor="pool", jobs=2)
    assert list(found.lost) == [by_lr(asked)[0.1]]
    assert (tmp_path / "0.1").read_text() == "xx"
    assert [lr for lr, digest in made.items() if digest == "running"] == [0.1]
    assert not any("--resume" in event and by_lr(asked)[0.1] not in event for event in events)


def test_an_executor_that_cannot_start_is_not_built_again_and_again(grid, characterize):
    with pytest.raises(
        FileError, match=r"none of the 3 runs left a file .*no worker could begin with it: .*cannot start"
    ):
        characterize(grid(0.4, 0.5, 0.6), executor="stillborn")


@pytest.mark.parametrize(("executor", "handed_over"), [("in-process", 2 + 2), ("raising", 2)])
def test_an_executor_says_how_many_runs_may_wait(grid, tmp_path, monkeypatch, executor, handed_over):
    asked = []

    def take(pending, workers, in_flight, *_):
        asked.append(in_flight)
        raise KeyboardInterrupt

    monkeypatch.setattr("optiscope.sweep.run.execute", take)
    with pytest.raises(KeyboardInterrupt):
        optiscope.characterize(grid(0.5, 0.6, 0.7), tmp_path / "out", executor=executor, jobs=2)
    assert asked == [handed_over]


def test_too_long_and_cancelled(grid, characterize):
    asked = grid(0.3, 0.45, 0.6, times=0)
    found, events, _ = characterize(asked, executor="raising", time_limit=7)
    ids = by_lr(asked)
    assert found.lost == {
        ids[0.45]: "its worker failed (CancelledError: it was cancelled); tried again, "
        "its worker failed (CancelledError: it was cancelled)",
        ids[0.6]: "it took longer than its time limit; tried again, it took longer than its time limit",
    }
    assert events[-1].startswith("2 of 3 runs left no file")


def test_an_executor_without_a_time_limit_refuses_one(grid, characterize, tmp_path):
    with pytest.raises(UsageError, match="--time-limit: the executor in-process cannot end a run"):
        characterize(grid(0.5), executor="in-process", time_limit=7)
    with pytest.raises(UsageError, match="time_limit must be a number of seconds above 0, not -7"):
        characterize(grid(0.5), time_limit=-7)
    assert not (tmp_path / "out").exists()


ODD = """
import sys
from concurrent.futures import Executor, Future
from optiscope.hooks import hookimpl

class Base:
    def __init__(self, jobs=1):
        pass

    def submit(self, fn, /, *work):
        future = Future()
        future.set_result(fn(*work))
        return future

    def shutdown(self, wait=True, *, cancel_futures=False):
        pass

class Unmade(Base):
    name = "unmade"

    def __init__(self, jobs=1):
        raise RuntimeError("no cluster")

class Leaving(Base):
    name = "leaving"

    def __init__(self, jobs=1):
        sys.exit(0)

class Endless(Base):
    name = "endless"
    shutdown = None

class Idle(Base):
    name = "idle"
    submit = None

class Refusing(Base):
    name = "refusing"

    def submit(self, fn, /, *work):
        raise RuntimeError("no cluster")

class Prompt(Base):
    name = "prompt"

    def submit(self, fn, /, *work):
        return fn(*work)

class Counting(Base):
    name = "counting"

    def submit(self, fn, /, *work):
        future = Future()
        future.set_result(7)
        return future

class Clinging(Base):
    name = "clinging"

    def shutdown(self, wait=True, *, cancel_futures=False):
        raise RuntimeError("no cluster")

@hookimpl
def optiscope_executors():
    return [Unmade, Leaving, Endless, Idle, Refusing, Prompt, Counting, Clinging]
"""


@pytest.mark.parametrize(
    ("name", "what", "begun"),
    [
        ("unmade", "cannot be made: RuntimeError: no cluster (odd.py, line", False),
        ("leaving", "cannot be made: SystemExit: 0 (odd.py, line", False),
        ("endless", "has no shutdown: let it be a concurrent.futures.Executor", False),
        ("idle", "has no submit: let it be a concurrent.futures.Executor", False),
        ("refusing", "failed in submit: RuntimeError: no cluster (odd.py, line", True),
        ("prompt", "returned Ended from submit: let it be a concurrent.futures.Executor", True),
        ("counting", "has int as the result of a run: it must be what the submitted function returns", True),
        ("clinging", "failed in shutdown: RuntimeError: no cluster (odd.py, line", True),
    ],
)
def test_what_is_wrong_with_an_executor_is_told_with_its_plugin(grid, tmp_path, name, what, begun):
    (tmp_path / "odd.py").write_text(ODD)
    asked = attrs.evolve(grid(0.5), plugins=[*grid().plugins, str(tmp_path / "odd.py")])
    with pytest.raises(PluginError) as raised:
        optiscope.characterize(asked, tmp_path / "out", executor=name)
    assert str(raised.value).startswith(f"executor '{name}' of plugin 'odd' {what}")
    assert (tmp_path / "out").exists() == begun


LEAVING = """
import sys
import attrs
from optiscope.hooks import hookimpl
from optiscope.optim import SGD

@attrs.define(kw_only=True)
class Leaving(SGD):
    name = "leaving"

    def update(self, params, grads, state, step):
        if step == 5:
            sys.exit(0)

@hookimpl
def optiscope_optimizers():
    return [Leaving]
"""


@pytest.mark.parametrize("executor", ["in-process", "processes"])
def test_sys_exit_in_a_plugin_ends_its_run_only(grid, characterize, tmp_path, executor):
    (tmp_path / "leaving.py").write_text(LEAVING)
    asked = attrs.evolve(
        grid(0.5), optimizers=["leaving", "sgd"], plugins=[*grid().plugins, str(tmp_path / "leaving.py")]
    )
    found, events, _ = characterize(asked, executor=executor, jobs=1)
    (event,) = events
    assert "optimizer 'leaving' of plugin 'leaving' failed at step 5: SystemExit: 0" in event
    assert [run.status for cell in found.cells for run in cell.runs] == ["failed", "completed"]


def test_a_run_that_another_process_is_writing_costs_itself_only(grid, characterize, tmp_path):
    """As where a cluster has lost sight of a worker that goes on."""
    asked = grid(0.5, 0.6)
    (tmp_path / "out" / "runs").mkdir(parents=True)
    lock = Lock(tmp_path / "out" / "runs" / f"{by_lr(asked)[0.6]}.h5")
    try:
        found, _, made = characterize(asked, executor="in-process")
    finally:
        lock.release()
    assert list(made) == [0.5]
    assert "another process is writing" in found.lost[by_lr(asked)[0.6]]


def test_a_run_that_a_lost_worker_brings_to_its_end_is_not_run_again(grid, characterize):
    found, events, made = characterize(grid(0.5, 0.6), executor="losing")
    assert [event.partition(": ")[2] for event in events] == [
        "its worker failed (RuntimeError: where is it? Nobody knows); it is tried once more"
    ]
    assert found.lost == {}
    assert {run.status for cell in found.cells for run in cell.runs} == {"completed"}
    assert {*made} == {0.5, 0.6}


def test_where_a_run_goes_does_not_depend_on_the_folder_that_a_worker_works_in(grid, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    asked = []
    run = sweep_execute.run_to_verdict
    monkeypatch.setattr(
        sweep_execute, "run_to_verdict", lambda config, folder: (asked.append(Path(folder)), run(config, folder))[1]
    )
    optiscope.characterize(grid(0.5), "out", executor="in-process")
    assert asked == [tmp_path / "out" / "runs"]
