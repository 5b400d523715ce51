"""Runs on a real scheduler and worker processes of this machine: the same bits, whatever becomes of a worker."""

import os
import time

import attrs
import pytest

import optiscope
from optiscope.errors import UsageError
from optiscope.hooks import create_manager

distributed = pytest.importorskip("distributed", reason="needs the dependency group 'oracle'")
pytest.importorskip("optiscope_dask", reason="needs the dependency group 'oracle'")

import dask  # noqa: E402
from optiscope_dask import Dask  # noqa: E402

pytestmark = pytest.mark.oracle

FAILING = """
import os, pathlib, signal
import attrs
from optiscope.hooks import hookimpl
from optiscope.optim import SGD

@attrs.define(kw_only=True)
class Failing(SGD):
    name = "failing"

    def update(self, params, grads, state, step):
        super().update(params, grads, state, step)
        mark = pathlib.Path({mark!r})
        if step == 230 and self.lr == 0.1 and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)

@hookimpl
def optiscope_optimizers():
    return [Failing]
"""
"""Kills the first worker that has it at a learning rate of 0.1, in the third epoch (of 100 steps)."""


@pytest.fixture(scope="module")
def cluster():
    with (
        dask.config.set(
            {"distributed.scheduler.allowed-failures": 1, "distributed.deploy.lost-worker-timeout": "1 hour"}
        ),
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster,
    ):
        yield cluster


@pytest.fixture
def grid(tmp_path):
    plugin = tmp_path / "failing.py"
    plugin.write_text(FAILING.format(mark=str(tmp_path / "killed")))
    common = {"model": "quadratic", "batch_sizes": [1], "steps": 250, "plugins": [str(plugin)]}
    return optiscope.GridConfig(optimizers=["failing"], lrs=[0.1, 0.2, 0.3], **common)


def content(out):
    """Return what training made of each run: losses of all steps, digests of all epochs."""
    found = {}
    for row in optiscope.open_grid(out).runs:
        with optiscope.open_run(row["path"]) as run:
            found[row["lr"]] = (run.status, run.steps["loss"].tobytes(), run.epochs["digest"].tobytes())
    return found


def test_the_run_of_a_worker_that_is_killed_is_taken_up_by_another_and_has_the_same_bits(cluster, grid, tmp_path):
    events = []
    found = optiscope.characterize(
        attrs.evolve(grid, options={"dask": {"address": cluster.scheduler_address}}),
        tmp_path / "out",
        executor="dask",
        jobs=2,
        on_progress=lambda seen: events.extend(seen.events),
    )
    assert (tmp_path / "killed").exists()
    assert found.lost == {}
    (event,) = events
    assert event.endswith("taken up after step 200, 20 steps computed again")
    optiscope.characterize(grid, tmp_path / "whole", executor="in-process")  # the mark is there: nothing is killed
    made = content(tmp_path / "out")
    assert made == content(tmp_path / "whole")
    assert [status for status, _, _ in made.values()] == ["completed"] * 3


HANGING = """
import time
with open({mark!r}, "a") as file:
    file.write("x")
time.sleep(60)
"""


def test_what_takes_too_long_ends_its_worker_and_is_told_at_its_first_try(cluster, tmp_path):
    mark = tmp_path / "begun"
    with Dask(address=cluster.scheduler_address, time_limit=2) as workers:
        hanging = workers.submit(exec, HANGING.format(mark=str(mark)))
        error = hanging.exception(timeout=60)
        assert (type(error), str(error)) == (TimeoutError, "it took longer than 2 seconds")
        assert mark.read_text() == "x"
        assert workers.submit(divmod, 7, 2).result(timeout=60) == (3, 1)


def test_without_an_address_it_has_workers_of_its_own_and_ends_them(capfd):
    workers = Dask(jobs=1)
    own, bad = workers.submit(os.getpid), workers.submit(int, "x", base=16)
    assert own.result(timeout=60) != os.getpid()
    with pytest.raises(ValueError, match="'x'"):
        bad.result(timeout=60)
    workers.submit(print, "said").result(timeout=60)
    captured = capfd.readouterr()
    assert (captured.out, "said" in captured.err) == ("", True)
    running, began = workers.submit(time.sleep, 60), time.monotonic()
    workers.shutdown(wait=True, cancel_futures=True)
    assert time.monotonic() - began < 20
    with pytest.raises(ProcessLookupError):
        os.kill(own.result(), 0)
    assert not running.done() or running.cancelled()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"jobs": 0}, "jobs must be a whole number >= 1, not 0"),
        ({"time_limit": 0}, "time_limit must be a number of seconds above 0, not 0"),
        ({"address": "tcp://127.0.0.1:9"}, "no scheduler answers at tcp://127.0.0.1:9"),
        ({"address": "nowhere.json"}, "no scheduler answers at nowhere.json"),
    ],
    ids=str,
)
def test_what_cannot_be_is_one_sentence(options, sentence):
    with (
        dask.config.set({"distributed.comm.timeouts.connect": 0.3}),
        pytest.raises(UsageError, match=sentence),
    ):
        create_manager().build("executors", "dask", options)
