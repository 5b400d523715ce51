import contextlib
import json
import os
import signal
import subprocess
import sys
import textwrap
import time

import attrs
import h5py
import pytest

import optiscope
from optiscope.config import GridConfig
from optiscope.errors import UsageError

GRID = GridConfig(model="quadratic", optimizers=["sgd"], batch_sizes=[1], lrs=[0.5, 3.0], seeds=2, steps=300)
SMALL = {"synthetic": {"train": 200, "test": 20}}


def files(out):
    return sorted((out / "runs").glob("*.h5"))


@pytest.mark.parametrize("executor", ["in-process", "processes"])
def test_a_grid_is_run_recorded_and_judged(tmp_path, executor):
    seen = []
    result = optiscope.characterize(GRID, tmp_path / "out", executor=executor, on_progress=seen.append)
    assert len(files(tmp_path / "out")) == 4
    assert [cell.lr for cell in result.cells] == [0.5, 3.0]
    assert [run.verdict for run in result.cells[1].runs] == ["unstable", "unstable"]
    assert [cell.status for cell in seen[-1].cells] == ["completed", "diverged"]
    assert seen[-1].remaining == 0
    document = json.loads((tmp_path / "out" / "characterization.json").read_text())
    assert {run["path"] for cell in document["cells"] for run in cell["runs"]} == {
        path.relative_to(tmp_path / "out").as_posix() for path in files(tmp_path / "out")
    }


def test_both_executors_record_the_same_bits(tmp_path):
    grid = GridConfig(optimizers=["adam"], batch_sizes=[50], steps=8, options=SMALL)
    digests = []
    for executor in ("in-process", "processes"):
        optiscope.characterize(grid, tmp_path / executor, executor=executor)
        with optiscope.open_run(files(tmp_path / executor)[0]) as run:
            digests.append(run.epochs["digest"].tobytes())
    assert digests[0] == digests[1]


def test_resume_runs_only_what_is_new(tmp_path):
    optiscope.characterize(GRID, tmp_path, executor="in-process")
    before = {path: path.stat().st_mtime_ns for path in files(tmp_path)}
    optiscope.characterize(attrs.evolve(GRID, seeds=3), tmp_path, executor="in-process", resume=True)
    assert len(files(tmp_path)) == 6
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in before.items())


def test_a_taken_folder_is_refused_and_left_as_it_was(tmp_path):
    optiscope.characterize(GRID, tmp_path, executor="in-process")
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    with pytest.raises(UsageError, match="already holds"):
        optiscope.characterize(GRID, tmp_path, executor="in-process")
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


@contextlib.contextmanager
def started(tmp_path, steps=200_000):
    """Run a characterization in a process of its own; hand it over once both its workers write."""
    code = textwrap.dedent(f"""
        import multiprocessing, pathlib, optiscope

        def tell(progress):
            pids = [str(child.pid) for child in multiprocessing.active_children()]
            pathlib.Path({str(tmp_path / "workers")!r}).write_text(" ".join(pids))

        if __name__ == "__main__":
            grid = optiscope.GridConfig(model="quadratic", optimizers=["sgd"], batch_sizes=[1], lrs=[0.1, 0.2],
                                        steps={steps})
            optiscope.characterize(grid, {str(tmp_path / "out")!r}, jobs=2, on_progress=tell)
    """)
    script = tmp_path / "script.py"
    script.write_text(code)
    with subprocess.Popen([sys.executable, str(script)], stderr=subprocess.PIPE, text=True) as process:
        try:
            deadline = time.monotonic() + 60
            while sum(progress(path) > 0 for path in files(tmp_path / "out")) < 2:
                assert process.poll() is None, process.stderr.read()
                assert time.monotonic() < deadline
                time.sleep(0.05)
            yield process
        finally:
            process.kill()


def progress(path):
    with h5py.File(path, "r", locking=False) as file:
        return int(file["run_state"][0])


def workers_of(tmp_path):
    return [int(pid) for pid in (tmp_path / "workers").read_text().split()]


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True).stdout
    return bool(status.strip()) and not status.startswith("Z")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_workers_leave_when_their_parent_is_killed(tmp_path, number):
    with started(tmp_path) as process:
        workers = workers_of(tmp_path)
        assert len(workers) == 2
        process.send_signal(number)
        process.wait(30)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and any(map(alive, workers)):
        time.sleep(0.05)
    assert not any(map(alive, workers))
    for path in files(tmp_path / "out"):
        with optiscope.open_run(path) as run:
            assert run.n_steps > 0
            assert len(run.steps["loss"]) == run.n_steps


def test_a_worker_that_is_killed_costs_its_run_only(tmp_path):
    with started(tmp_path, steps=8_000) as process:
        os.kill(workers_of(tmp_path)[0], signal.SIGKILL)
        _, errors = process.communicate(timeout=100)
        assert process.returncode == 0, errors
    statuses = []
    for path in files(tmp_path / "out"):
        with optiscope.open_run(path) as run:
            statuses.append(run.status)
    assert sorted(statuses) == ["completed", "running"]
