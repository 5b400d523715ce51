import os
import sys
import time
from concurrent.futures import BrokenExecutor

import pytest

from optiscope.builtin.executors import InProcess, Processes
from optiscope.errors import UsageError
from optiscope.hooks import create_manager


def fail(message):
    raise ValueError(message)


def interrupt():
    raise KeyboardInterrupt


@pytest.mark.parametrize("executor", [InProcess, Processes])
def test_results_and_errors_come_back(executor):
    with executor(jobs=1) as workers:
        good = workers.submit(divmod, 7, 2)
        bad = workers.submit(int, "x", base=16)
        assert good.result(timeout=60) == (3, 1)
        with pytest.raises(ValueError, match="'x'"):
            bad.result(timeout=60)


def test_in_process_is_over_when_submit_returns():
    done = []
    with InProcess() as workers:
        future = workers.submit(done.append, os.getpid())
        assert done == [os.getpid()]
        assert future.done()
        assert isinstance(workers.submit(fail, "no").exception(), ValueError)
        assert isinstance(workers.submit(sys.exit, 3).exception(), SystemExit)
        with pytest.raises(KeyboardInterrupt):
            workers.submit(interrupt)


def test_a_worker_that_dies_costs_its_task_only():
    with Processes(jobs=1) as workers:
        dying, living = workers.submit(os._exit, 3), workers.submit(divmod, 7, 2)
        assert living.result(timeout=60) == (3, 1)
        assert dying.exception(timeout=60) is not None


def test_cancelling_ends_the_workers_now():
    workers = Processes(jobs=1)
    started, queued = workers.submit(time.sleep, 60), workers.submit(time.sleep, 60)
    before = time.monotonic()
    workers.shutdown(wait=True, cancel_futures=True)
    assert time.monotonic() - before < 20
    assert not started.done() or started.exception() is not None
    assert not queued.done() or queued.exception() is not None
    with pytest.raises(BrokenExecutor, match="cannot be used any more"):
        workers.submit(divmod, 7, 2)


class Pool:
    """Notes what is asked of it; Ctrl-C comes while it is joined for the first time."""

    def __init__(self):
        self.calls = []

    def __getattr__(self, name):
        return lambda: self._call(name)

    def _call(self, name):
        self.calls.append(name)
        if name == "join" and self.calls.count("join") == 1:
            raise KeyboardInterrupt


def test_a_pool_that_was_stopped_is_never_closed():
    workers, pool = Processes(jobs=1), Pool()
    workers._pool = pool

    def stop():
        with workers:
            workers.shutdown(wait=True, cancel_futures=True)

    with pytest.raises(KeyboardInterrupt):
        stop()
    assert pool.calls == ["stop", "join", "stop", "join"]


@pytest.mark.parametrize("name", ["in-process", "processes"])
@pytest.mark.parametrize(("jobs", "part"), [(0, "jobs must be a whole number >= 1"), ("two", "jobs must be")])
def test_jobs_are_checked(name, jobs, part):
    with pytest.raises(UsageError, match=part):
        create_manager().build("executors", name, {"jobs": jobs})


HANGING = {"free": "import time; time.sleep(60)", "holding the GIL": "import ctypes; ctypes.PyDLL(None).sleep(60)"}


@pytest.mark.parametrize("code", HANGING.values(), ids=HANGING)
def test_what_takes_too_long_is_ended_whatever_it_does(code):
    with Processes(jobs=1, time_limit=0.3) as workers:
        hanging, living = workers.submit(exec, code), workers.submit(divmod, 7, 2)
        assert isinstance(hanging.exception(timeout=60), TimeoutError)
        assert living.result(timeout=60) == (3, 1)


@pytest.mark.parametrize("limit", [0, -1, float("nan"), float("inf"), "a minute", True])
def test_the_time_limit_is_checked(limit):
    with pytest.raises(UsageError, match="time_limit must be a number of seconds above 0"):
        create_manager().build("executors", "processes", {"time_limit": limit})
