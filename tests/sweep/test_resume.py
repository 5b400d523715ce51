"""--resume: what it keeps, what it goes on with, what it says; and who else may work in the folder."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import attrs
import pytest

import optiscope
from optiscope.config import GridConfig
from optiscope.errors import FileError, UsageError
from optiscope.storage import checkpoint, open_grid, verify
from optiscope.sweep.folder import held

SMALL = {"synthetic": {"train": 100, "test": 20}}
GRID = GridConfig(optimizers=["adam"], batch_sizes=[20], steps=24, kernels="im2col", options=SMALL)
PROGRAM = str(Path(sys.executable).parent / "optiscope")

STOPPING = """
import os
from optiscope.hooks import hookimpl

@hookimpl
def on_step(run, step):
    if f"{run.seed} {step}" == os.environ.get("STOP_AT"):
        raise KeyboardInterrupt
"""
"""A plugin's version is a digest of its file, so what changes from one call to the next is not in it."""


def files(out):
    return sorted((out / "runs").glob("*.h5"))


def said(seen):
    return [event for progress in seen for event in progress.events]


@pytest.fixture
def stop(tmp_path, monkeypatch):
    """Return a function that interrupts a grid at a step of the run with a seed, and returns folder and grid."""

    def stop(seed, step, source=STOPPING, **changes):
        plugin = tmp_path / "stop.py"
        plugin.write_text(source)
        grid = attrs.evolve(GRID, plugins=(str(plugin),), **changes)
        monkeypatch.setenv("STOP_AT", f"{seed} {step}")
        with pytest.raises(KeyboardInterrupt):
            optiscope.characterize(grid, tmp_path / "out", executor="in-process")
        monkeypatch.delenv("STOP_AT")
        return tmp_path / "out", grid

    return stop


@pytest.fixture
def interrupted(stop):
    """A folder whose only run was interrupted at step 18, in its fourth epoch; and the configuration."""
    return stop(0, 18)


def test_a_run_goes_on_from_its_last_whole_epoch_and_says_so(interrupted):
    out, grid = interrupted
    (path,) = files(out)
    assert checkpoint.path_of(path).exists()
    with optiscope.open_run(path) as run:
        assert (run.status, run.n_steps, run.n_epochs) == ("running", 17, 3)
    seen = []
    optiscope.characterize(grid, out, executor="in-process", resume=True, on_progress=seen.append)
    assert said(seen) == [f"{path.stem}: taken up after step 15, 2 steps computed again"]
    assert not checkpoint.path_of(path).exists()
    assert verify(path).intact


def test_its_digests_are_those_of_a_run_that_was_not_interrupted(interrupted, tmp_path):
    out, grid = interrupted
    optiscope.characterize(grid, out, executor="in-process", resume=True)
    optiscope.characterize(grid, tmp_path / "whole", executor="in-process")
    digests = []
    for folder in (out, tmp_path / "whole"):
        with optiscope.open_run(files(folder)[0]) as run:
            digests.append((run.epochs["digest"].tobytes(), run.steps["loss"].tolist(), run.attrs["digest"]))
    assert digests[0] == digests[1]


def test_a_run_without_a_whole_epoch_begins_anew_and_says_so(stop):
    out, grid = stop(0, 4)
    seen = []
    optiscope.characterize(grid, out, executor="in-process", resume=True, on_progress=seen.append)
    assert said(seen) == [f"{files(out)[0].stem}: begun anew, 3 steps computed again"]


DRIFTING = """
import attrs
import numpy as np
from optiscope.optim import SGD

@attrs.define(kw_only=True)
class Drifts(SGD):
    name = "drifts"

    def update(self, params, grads, state, step):
        params.flat -= self.lr * grads.flat * np.float32(np.random.default_rng().random())

@hookimpl
def optiscope_optimizers():
    return [Drifts]
"""
"""An optimizer that draws from a generator of its own."""


def test_a_run_that_does_not_repeat_itself_is_named_and_the_others_go_on(stop):
    out, grid = stop(1, 18, STOPPING + DRIFTING, optimizers=["drifts"], seeds=3)
    seen = []
    optiscope.characterize(grid, out, executor="in-process", resume=True, on_progress=seen.append)
    (line,) = [event for event in said(seen) if "cannot be gone on with" in event]
    assert "-s1-" in line
    assert sorted(row["status"] for row in open_grid(out).runs) == ["completed", "completed", "running"]


def test_a_checkpoint_that_outlived_its_run_is_removed(tmp_path):
    """As when the process is killed between the rename of the finished file and the end."""
    optiscope.characterize(GRID, tmp_path, executor="in-process")
    left = checkpoint.path_of(files(tmp_path)[0])
    left.write_bytes(b"left")
    optiscope.characterize(GRID, tmp_path, executor="in-process", resume=True)
    assert not left.exists()


def test_a_run_that_was_killed_while_its_finished_file_was_made_is_not_taken_for_finished(tmp_path, monkeypatch):
    def killed(path, read=Path.read_bytes):
        if path.name.endswith(".h5.tmp"):
            raise KeyboardInterrupt
        return read(path)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", killed)
        with pytest.raises(KeyboardInterrupt):
            optiscope.characterize(GRID, tmp_path, executor="in-process")
    (path,) = files(tmp_path)
    assert verify(path).intact is None
    seen = []
    optiscope.characterize(GRID, tmp_path, executor="in-process", resume=True, on_progress=seen.append)
    assert said(seen) == [f"{path.stem}: taken up after step 20, 4 steps computed again"]
    assert verify(path).intact


def test_a_second_process_is_told_who_works_in_the_folder(tmp_path):
    with (
        held(tmp_path / "out"),
        pytest.raises(FileError, match=rf"grid\.json \(process {os.getpid()} on .*\): wait for"),
    ):
        optiscope.characterize(GRID, tmp_path / "out", executor="in-process")
    assert not (tmp_path / "out" / "grid.json").exists()
    optiscope.characterize(GRID, tmp_path / "out", executor="in-process")
    with held(tmp_path / "out"):
        for flag in ("resume", "overwrite"):
            with pytest.raises(FileError, match="another process is writing"):
                optiscope.characterize(GRID, tmp_path / "out", executor="in-process", **{flag: True})
    assert len(files(tmp_path / "out")) == 1


@pytest.fixture
def begun(tmp_path):
    """A characterization in a process of its own, whose workers have written a whole epoch at least."""
    out = tmp_path / "out"
    command = [PROGRAM, "characterize", "--model", "quadratic", "--optimizers", "sgd", "--batch-sizes", "1", "--lrs"]
    command += ["0.1", "0.2", "0.3", "--steps", "100000", "--out", str(out), "--jobs", "2"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            deadline = time.monotonic() + 60
            while len(list(out.glob("runs/*.state"))) < 2:
                assert process.poll() is None, process.stderr.read()
                assert time.monotonic() < deadline
                time.sleep(0.05)
            yield process, out
        finally:
            process.kill()


@pytest.mark.parametrize(
    ("signals", "code", "word"),
    [
        ([signal.SIGINT, signal.SIGINT], 130, "interrupted"),
        ([signal.SIGTERM], 143, "terminated"),
        ([signal.SIGTERM, signal.SIGINT], 143, "terminated"),
    ],
)
def test_whoever_asks_it_to_end_finds_everything_in_place(begun, signals, code, word):
    process, out = begun
    for number in signals:
        process.send_signal(number)
        time.sleep(0.1)
    _, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    last = err.splitlines()[-1]
    assert last.startswith(
        f"optiscope: {word}: 0 of 3 runs had finished and are kept; --resume goes on with the others"
    )
    assert last.endswith("--resume")
    assert "Traceback" not in err
    for path in files(out):
        with optiscope.open_run(path) as run:
            assert run.status == "running"
            assert len(run.steps["loss"]) == run.n_steps > 0
    assert list(out.glob("runs/*.state"))


def test_while_it_runs_a_second_one_in_the_folder_is_refused(begun):
    process, out = begun
    command = [PROGRAM, "characterize", "--model", "quadratic", "--out", str(out), "--overwrite"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert f"(process {process.pid} on " in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_no_room_for_what_a_run_is_taken_up_from_is_one_sentence_and_the_rows_are_kept(tmp_path):
    """A limit on the size of files that the run file stays below, and the parameters of paper-cnn do not."""
    out = tmp_path / "out"
    command = [PROGRAM, "characterize", "--model", "paper-cnn", "--optimizers", "adam", "--batch-sizes", "16"]
    command += ["--set", "synthetic.train=32", "synthetic.test=10", "--steps", "6", "--out", str(out)]
    command += ["--executor", "in-process", "--kernels", "im2col"]
    limited = ["sh", "-c", 'ulimit -f 2000; exec "$@"', "sh", *command]
    done = subprocess.run(limited, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"optiscope: cannot write {out}/runs/adam-b16")
    assert ".state (File too large): raise the limit on file sizes" in last
    (path,) = files(out)
    with optiscope.open_run(path) as run:
        assert (run.status, run.n_steps, run.n_epochs) == ("running", 2, 1)
    subprocess.run([*command, "--resume"], capture_output=True, timeout=100, check=True)
    assert verify(path).intact


def test_what_executes_a_grid_may_be_another_when_it_is_resumed(stop):
    out, grid = stop(0, 18, options=SMALL | {"in-process": {"jobs": 3}})
    other = attrs.evolve(grid, options=SMALL | {"processes": {"jobs": 1}})
    seen = []
    optiscope.characterize(other, out, executor="in-process", resume=True, on_progress=seen.append)
    assert said(seen) == [f"{files(out)[0].stem}: taken up after step 15, 2 steps computed again"]


def test_a_longer_axis_of_learning_rates_runs_only_what_is_new(tmp_path):
    grid = GridConfig(model="quadratic", optimizers=["sgd"], batch_sizes=[1], lrs=[0.1, 0.3], steps=50, seeds=2)
    optiscope.characterize(grid, tmp_path, executor="in-process")
    before = {path: path.stat().st_mtime_ns for path in files(tmp_path)}
    longer = attrs.evolve(grid, lrs=[0.1, 0.2, 0.3], seeds=3)
    seen = []
    found = optiscope.characterize(longer, tmp_path, executor="in-process", resume=True, on_progress=seen.append)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert [(cell.lr, len(cell.runs)) for cell in found.cells] == [(0.1, 3), (0.2, 3), (0.3, 3)]
    assert sum(cell.finished for cell in seen[0].cells) == 4


MINE = """
import attrs
from optiscope.hooks import hookimpl
from optiscope.optim import Optimizer

@attrs.define(kw_only=True)
class Mine(Optimizer):
    name = "mine"

    def update(self, params, grads, state, step):
        params.flat -= self.lr * grads.flat

@hookimpl
def optiscope_optimizers():
    return [Mine]
"""


def test_a_grid_grows_by_an_optimizer_from_a_file_and_by_learning_rates(tmp_path):
    """What ran stays as it is, to the last bit and the time of its file: it is the same run under any spelling."""
    out, mine = tmp_path / "out", tmp_path / "mine.py"
    mine.write_text(MINE)
    grid = GridConfig(model="quadratic", optimizers=["sgd"], batch_sizes=[1])
    optiscope.characterize(grid, out, executor="in-process")
    ((first, before),) = {path: path.stat().st_mtime_ns for path in files(out)}.items()
    for count, changes in [(2, {"optimizers": ["sgd", "mine"], "plugins": [str(mine)]}), (4, {"lrs": [0.01, 0.1]})]:
        grid = attrs.evolve(grid, steps=400, **changes)
        optiscope.characterize(grid, out, executor="in-process", resume=True)
        assert len(files(out)) == count
        assert first.stat().st_mtime_ns == before
    mine.write_text(MINE + "# changed")
    with pytest.raises(UsageError, match=r"plugin mine was .* and is .* now"):
        optiscope.characterize(grid, out, executor="in-process", resume=True)
