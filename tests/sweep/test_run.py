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
from threadpoolctl import threadpool_limits

import optiscope
from optiscope.autograd.kernels import FASTEST
from optiscope.builtin.executors import InProcess
from optiscope.config import GridConfig
from optiscope.engine import blas
from optiscope.errors import FileError, PluginError, UsageError
from optiscope.labels import Characterization
from optiscope.sweep import execute as sweep_execute
from optiscope.sweep import run as sweep_run
from optiscope.sweep.cost import foresee
from optiscope.sweep.grid import plan
from optiscope.sweep.watch import Watch
from optiscope.sweep.worker import run_to_verdict

GRID = GridConfig(model="quadratic", optimizers=["sgd"], batch_sizes=[1], lrs=[0.5, 3.0], seeds=2, steps=100)
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


THREADS = """
from concurrent.futures import ThreadPoolExecutor
from optiscope.hooks import hookimpl

class Threads(ThreadPoolExecutor):
    name = "threads"

    def __init__(self, jobs=1):
        super().__init__(jobs)

@hookimpl
def optiscope_executors():
    return [Threads]
"""


@pytest.mark.parametrize(
    "grid",
    [
        attrs.evolve(GRID, optimizers=["sgd", "adam"], lrs=[0.1, 0.5, 3.0]),
        GridConfig(optimizers=["sgd", "adam"], batch_sizes=[50], seeds=2, steps=8, options=SMALL),
    ],
    ids=["quadratic", "small-cnn"],
)
def test_runs_on_threads_of_this_process_have_the_same_bits(tmp_path, grid):
    (tmp_path / "threads.py").write_text(THREADS)
    grid = attrs.evolve(grid, plugins=[str(tmp_path / "threads.py")])
    made = []
    for executor in ("threads", "in-process"):
        seen = []
        found = optiscope.characterize(grid, tmp_path / executor, executor=executor, jobs=4, on_progress=seen.append)
        assert (found.lost, [progress.events for progress in seen if progress.events]) == ({}, [])
        with contextlib.ExitStack() as stack:
            runs = [stack.enter_context(optiscope.open_run(path)) for path in files(tmp_path / executor)]
            made.append([(run.run_id, run.status, run.attrs["digest"], run.steps["loss"].tobytes()) for run in runs])
    assert len(made[0]) == len(plan(grid))
    assert made[0] == made[1]


def test_the_blas_keeps_to_one_thread_as_long_as_any_run_may_be_under_way(tmp_path, monkeypatch):
    """A run that ended on one thread of this process would otherwise give its threads back under another one."""
    found = []

    def take(*_):
        found.append(blas.in_use()["threads"])
        raise KeyboardInterrupt

    monkeypatch.setattr(sweep_run, "execute", take)
    monkeypatch.setattr(InProcess, "shutdown", lambda *_, **__: found.append(blas.in_use()["threads"]))
    with threadpool_limits(2, user_api="blas"):
        if blas.in_use()["threads"] == 1:
            pytest.fail("the BLAS of this machine cannot be given two threads")
        with pytest.raises(KeyboardInterrupt):
            optiscope.characterize(GRID, tmp_path / "out", executor="in-process")
    assert found[:2] == [1, 1]


def test_a_folder_is_resumed_with_the_kernels_that_it_was_begun_with(tmp_path):
    """Whatever is fastest when it is resumed, grid.json has the name of what was fastest when it was begun."""
    optiscope.characterize(GRID, tmp_path, executor="in-process")
    kernels = json.loads((tmp_path / "grid.json").read_text())["grid"]["kernels"]
    assert kernels == FASTEST, "the compiled ones are not loaded where there are no images"
    optiscope.characterize(attrs.evolve(GRID, kernels=kernels), tmp_path, executor="in-process", resume=True)
    assert len(files(tmp_path)) == 4
    with pytest.raises(
        UsageError, match=f"kernels is 'im2col' now and was '{kernels}' in .*: give --kernels {kernels}"
    ):
        optiscope.characterize(attrs.evolve(GRID, kernels="im2col"), tmp_path, executor="in-process", resume=True)


@pytest.mark.parametrize("first", ["quadratic", "small-cnn"])
@pytest.mark.parametrize("kernels", ["auto", "im2col"])
def test_a_grid_grows_from_problems_to_networks_and_back(tmp_path, first, kernels):
    """Also where both run on other kernels, because those for images are compiled."""
    both = attrs.evolve(GRID, model=["quadratic", "small-cnn"], lrs=[0.1], seeds=1, steps=3, options=SMALL)
    both = attrs.evolve(both, kernels=kernels)
    optiscope.characterize(attrs.evolve(both, model=first), tmp_path, executor="in-process")
    (begun,) = files(tmp_path)
    before = begun.read_bytes()
    result = optiscope.characterize(both, tmp_path, executor="in-process", resume=True)
    assert sorted(cell.model for cell in result.cells) == ["quadratic", "small-cnn"]
    assert len(files(tmp_path)) == 2
    assert begun.read_bytes() == before
    optiscope.characterize(both, tmp_path, executor="in-process", resume=True)
    foresee(both, tmp_path, resume=True)
    with pytest.raises(UsageError, match="kernels is 'reference' now and was"):
        optiscope.characterize(attrs.evolve(both, kernels="reference"), tmp_path, resume=True)


def test_the_most_work_goes_first(tmp_path):
    """In one measure for all models: a network has more to do in a step than a problem with a few parameters."""
    grid = attrs.evolve(GRID, model=["quadratic", "paper-cnn", "small-cnn"], batch_sizes=[2, 20], lrs=[0.1], seeds=1)
    runs = plan(attrs.evolve(grid, steps=3, options=SMALL))
    order = [
        (run.info.model, run.info.batch_size) for run in sweep_run.unfinished(runs, tmp_path, Watch(runs, tmp_path))
    ]
    assert order == [(model, size) for model in ("paper-cnn", "small-cnn", "quadratic") for size in (20, 2)]


def test_resume_runs_only_what_is_new(tmp_path):
    optiscope.characterize(GRID, tmp_path, executor="in-process")
    before = {path: path.stat().st_mtime_ns for path in files(tmp_path)}
    optiscope.characterize(attrs.evolve(GRID, seeds=3), tmp_path, executor="in-process", resume=True)
    assert len(files(tmp_path)) == 6
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in before.items())


def test_a_grid_grows_along_every_axis(tmp_path):
    """Grown to eight cells, among them one of an optimizer that is there with other options, it makes seven."""
    grid = attrs.evolve(GRID, optimizers=["adam"], lrs=[], seeds=1, steps=5)
    optiscope.characterize(grid, tmp_path, executor="in-process")
    before = {path: path.stat().st_mtime_ns for path in files(tmp_path)}
    more = {
        "optimizers": ["adam(beta1=0.8)", "adam"],
        "model": ["rosenbrock", "quadratic"],
        "reduction": ["mean", "sum"],
    }
    grown = optiscope.characterize(attrs.evolve(grid, **more), tmp_path, executor="in-process", resume=True)
    assert len(before) == 1
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in before.items())
    assert [(cell.options["beta1"], cell.model, cell.reduction, cell.seeds) for cell in grown.cells] == [
        (beta1, model, reduction, 1)
        for beta1 in (0.8, 0.9)
        for model in ("quadratic", "rosenbrock")
        for reduction in ("mean", "sum")
    ]


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
        import multiprocessing, os, pathlib, optiscope

        def tell(progress):
            pids = [str(child.pid) for child in multiprocessing.active_children()]
            pathlib.Path({str(tmp_path / "new")!r}).write_text(" ".join(pids))
            os.replace({str(tmp_path / "new")!r}, {str(tmp_path / "workers")!r})

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
            while sum(progress(path) > 0 for path in files(tmp_path / "out")) < 2 or len(workers_of(tmp_path)) < 2:
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


def test_the_run_of_a_worker_that_is_killed_is_taken_up_by_another(tmp_path):
    with started(tmp_path, steps=3_000) as process:
        os.kill(workers_of(tmp_path)[0], signal.SIGKILL)
        _, errors = process.communicate(timeout=100)
        assert process.returncode == 0, errors
    statuses = []
    for path in files(tmp_path / "out"):
        with optiscope.open_run(path) as run:
            statuses.append(run.status)
    assert statuses == ["completed", "completed"]


FAILING = """
import pathlib
import attrs
from optiscope.hooks import hookimpl
from optiscope.optim import SGD

@attrs.define(kw_only=True)
class Failing(SGD):
    name = "failing"

    def update(self, params, grads, state, step):
        if pathlib.Path({path!r}).exists() and step == 5:
            raise RuntimeError("no more")
        super().update(params, grads, state, step)

@hookimpl
def optiscope_optimizers():
    return [Failing]
"""


def test_resume_runs_what_failed_again_and_keeps_the_rest(tmp_path):
    cause, plugin, out = tmp_path / "cause", tmp_path / "plugin.py", tmp_path / "out"
    plugin.write_text(FAILING.format(path=str(cause)))
    cause.touch()
    grid = attrs.evolve(GRID, optimizers=["sgd", "failing"], lrs=[0.5], seeds=1, plugins=[str(plugin)])
    events = []
    optiscope.characterize(grid, out, executor="in-process", on_progress=lambda seen: events.extend(seen.events))
    assert len(events) == 1
    assert "no more" in events[0]
    kept = {path: path.stat().st_mtime_ns for path in files(out) if not path.name.startswith("failing")}
    assert statuses(out) == {"sgd": ["completed"], "failing": ["failed"]}
    cause.unlink()
    seen = []
    optiscope.characterize(grid, out, executor="in-process", resume=True, on_progress=seen.append)
    assert statuses(out) == {"sgd": ["completed"], "failing": ["completed"]}
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert [sum(cell.finished for cell in progress.cells) for progress in seen] == [1, 2]


def statuses(out):
    found = {}
    for path in files(out):
        with optiscope.open_run(path) as run:
            found.setdefault(run.config["optimizer"], []).append(run.status)
    return found


def test_runs_in_this_process_are_told_of_one_by_one(tmp_path, monkeypatch):
    monkeypatch.setattr(sweep_execute, "LOOK_EVERY", 0)
    seen = []
    optiscope.characterize(GRID, tmp_path, executor="in-process", on_progress=seen.append)
    assert [sum(cell.finished for cell in progress.cells) for progress in seen] == [0, 1, 2, 3, 4]


def test_ctrl_c_in_this_process_ends_the_grid(tmp_path):
    """The loop takes Ctrl-C for itself and says that the run was interrupted; the others must not begin."""
    plugin = tmp_path / "plugin.py"
    plugin.write_text(
        "import signal\n"
        "from optiscope.hooks import hookimpl\n"
        "@hookimpl\n"
        "def on_step(run, step):\n"
        "    if run.seed == 1 and step == 20:\n"
        "        signal.raise_signal(signal.SIGINT)\n"
    )
    with pytest.raises(KeyboardInterrupt):
        optiscope.characterize(attrs.evolve(GRID, plugins=[str(plugin)]), tmp_path / "out", executor="in-process")
    assert statuses(tmp_path / "out") == {"sgd": ["completed", "running"]}
    assert not (tmp_path / "out" / "characterization.json").exists()


@pytest.mark.parametrize(
    ("options", "part"),
    [({"envelope": {"windw": 3}}, "windw"), ({"in-process": {"jbs": 3}}, "jbs"), ({"in-process": {"jobs": 0}}, "jobs")],
    ids=str,
)
def test_options_are_refused_before_anything_is_written(tmp_path, options, part):
    with pytest.raises(UsageError, match=part):
        optiscope.characterize(attrs.evolve(GRID, options=options), tmp_path / "out", executor="in-process")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("seeds", "jobs", "built"),
    [(2, None, 3), (2, 2, 2), (2, 4, 4), (2, 100_000, 2 * 2), (1, None, 2), ("auto", 100_000, 2 * 6), ("auto", 7, 7)],
)
def test_an_executor_gets_its_options_and_no_more_jobs_than_there_can_be_runs(
    tmp_path, monkeypatch, seeds, jobs, built
):
    monkeypatch.setattr("optiscope.builtin.executors._check", lambda jobs: asked.append(jobs))
    asked = []
    grid = attrs.evolve(GRID, seeds=seeds, max_seeds=6, options={"in-process": {"jobs": 3}})
    watching = []
    monkeypatch.setattr(
        sweep_run, "Watch", lambda plan, runs, jobs: (watching.append(jobs), Watch(plan, runs, jobs))[1]
    )
    optiscope.characterize(grid, tmp_path / "out", executor="in-process", jobs=jobs)
    assert (asked[-1], watching) == (built, [built])
    assert foresee(grid, executor="in-process", jobs=jobs).jobs == built


@pytest.mark.parametrize(
    ("cores", "jobs", "threads", "line"),
    [
        (2, 2, 1, None),
        (2, 1, 2, None),
        (2, 4, 2, "4 runs at a time on 2 threads each share 2 cores: fewer --jobs or --threads would be as fast"),
        (1, 8, 1, "4 runs at a time on 1 thread each share 1 core: fewer --jobs or --threads would be as fast"),
        (2, 1, 3, "1 run at a time on 3 threads each share 2 cores: fewer --jobs or --threads would be as fast"),
        (2, None, 3, "1 run at a time on 3 threads each share 2 cores: fewer --jobs or --threads would be as fast"),
    ],
)
def test_more_threads_than_cores_are_told_once(tmp_path, monkeypatch, cores, jobs, threads, line):
    monkeypatch.setattr(sweep_run, "_cores", lambda: cores)
    monkeypatch.setattr(sweep_run, "execute", lambda *args: {})
    monkeypatch.setattr(sweep_run, "_name_missing", lambda *args: None)
    monkeypatch.setattr(sweep_run, "label_folder", lambda *args: Characterization(cells=(), versions={}))
    seen = []
    grid = attrs.evolve(GRID, threads=threads)
    optiscope.characterize(grid, tmp_path / "out", jobs=jobs, on_progress=seen.append)
    assert [event for progress in seen for event in progress.events] == ([] if line is None else [line])


def test_a_signal_that_cannot_be_stored_is_refused_before_anything_is_written(tmp_path):
    plugin = tmp_path / "plugin.py"
    plugin.write_text(
        "from optiscope.hooks import hookimpl\n"
        "from optiscope.records import Signal\n"
        "class Mine:\n"
        "    name = 'mine'\n"
        "    def signals(self, run):\n"
        "        return (Signal('a name / with a slash'),)\n"
        "    def record(self, *_):\n"
        "        return {}\n"
        "@hookimpl\n"
        "def optiscope_recorders():\n"
        "    return [Mine]\n"
    )
    with pytest.raises(PluginError, match="mine"):
        optiscope.characterize(attrs.evolve(GRID, plugins=[str(plugin)]), tmp_path / "out", executor="in-process")
    assert not (tmp_path / "out").exists()


def raising(errors):
    """Return a stand-in for `run_to_verdict` that raises `errors[learning rate]` before it writes."""

    def run(config, runs):
        if config.lr in errors:
            raise errors[config.lr]
        return run_to_verdict(config, runs)

    return run


@pytest.mark.parametrize("error", [PluginError("recorder 'x' failed"), RuntimeError("recorder 'x' failed")], ids=repr)
def test_what_a_plugin_raises_costs_its_run_only_and_the_run_is_named(tmp_path, monkeypatch, error):
    monkeypatch.setattr(sweep_execute, "run_to_verdict", raising({3.0: error}))
    events = []
    grid = attrs.evolve(GRID, seeds=1)
    lost = optiscope.sweep.plan(grid)[1].info.run_id
    result = optiscope.characterize(
        grid, tmp_path, executor="in-process", on_progress=lambda seen: events.extend(seen.events)
    )
    assert [cell.lr for cell in result.cells] == [0.5]
    assert "recorder 'x' failed" in events[0]
    assert events[-1].startswith("1 of 2 runs left no file")
    assert lost in events[-1]
    assert "recorder 'x' failed" in result.lost[lost]


def test_a_run_without_a_file_is_a_warning_where_nobody_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(sweep_execute, "run_to_verdict", raising({3.0: RuntimeError("gone")}))
    with pytest.warns(RuntimeWarning, match="2 of 4 runs left no file"):
        optiscope.characterize(GRID, tmp_path, executor="in-process")


def test_a_full_disk_ends_the_grid(tmp_path, monkeypatch):
    monkeypatch.setattr(sweep_execute, "run_to_verdict", raising({0.5: FileError("cannot write: no space")}))
    with pytest.raises(FileError, match="no space"):
        optiscope.characterize(GRID, tmp_path, executor="in-process")
    assert files(tmp_path) == []


def test_no_file_at_all_is_one_sentence_with_the_last_error(tmp_path, monkeypatch):
    errors = {0.5: RuntimeError("first"), 3.0: RuntimeError("last\nof all")}
    monkeypatch.setattr(sweep_execute, "run_to_verdict", raising(errors))
    with pytest.raises(FileError, match=r"none of the 4 runs left a file .*RuntimeError: last of all") as raised:
        optiscope.characterize(GRID, tmp_path, executor="in-process")
    assert "\n" not in str(raised.value)


def test_a_script_without_the_guard_is_told_of_it(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import optiscope\n"
        "grid = optiscope.GridConfig(model='quadratic', optimizers=['sgd'], batch_sizes=[1], lrs=[0.1, 0.2], steps=5)\n"
        f"optiscope.characterize(grid, {str(tmp_path / 'out')!r}, jobs=1)\n"
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode != 0
    last = done.stderr.splitlines()[-1]
    assert "none of the 2 runs left a file" in last
    assert "under if __name__ == '__main__'" in last
    assert "already holds" not in done.stderr
