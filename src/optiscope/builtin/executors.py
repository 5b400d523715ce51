"""Where runs are executed: `concurrent.futures.Executor`s, so that a cluster's can take their place.

"processes" is a pool that survives the death of a worker: it costs that worker's run only, and so does a run beyond the
time limit, whose worker is ended with it (the future then raises TimeoutError). Workers are spawned, never
forked, and leave when their parent does, however it ends. A worker that dies before it took a run breaks the pool,
as the next would die too: `submit` then raises BrokenExecutor, and so does every run that was not over.
"""

from __future__ import annotations

import math
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor, Future
from typing import Any, ClassVar

from optiscope.errors import RAISED


class InProcess(Executor):
    """Runs each task at once, in the calling thread; for debugging."""

    name: ClassVar[str] = "in-process"

    def __init__(self, jobs: int = 1) -> None:
        """Take `jobs` as every executor does; there is one."""
        _check(jobs)

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run `fn` now, and return a future that is done; Ctrl-C goes through."""
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except RAISED as error:
            future.set_exception(error)
        return future


class Processes(Executor):
    """`jobs` spawned worker processes; what takes longer than `time_limit` seconds is ended, whatever it is doing."""

    name: ClassVar[str] = "processes"

    def __init__(self, jobs: int = 2, time_limit: float | None = None) -> None:
        from pebble import ProcessPool

        _check(jobs)
        _check_limit(time_limit)
        self._pool: Any = ProcessPool(
            max_workers=jobs, context=multiprocessing.get_context("spawn"), initializer=prepare_worker
        )
        self._time_limit = time_limit
        self._stopped = False

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Queue `fn`; both it and its arguments must be picklable."""
        try:
            future: Future[Any] = self._pool.schedule(fn, list(args), kwargs, self._time_limit)
        except RuntimeError as error:
            raise BrokenExecutor(f"the worker processes cannot be used any more ({error})") from error
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Close the pool; with `cancel_futures` end the workers now. What was ended is never closed again.

        `with` calls this again after a shutdown that a second Ctrl-C cut short, and a closed pool waits for its runs.
        """
        self._stopped = self._stopped or cancel_futures
        if self._stopped:
            self._pool.stop()
        else:
            self._pool.close()
        if wait:
            self._pool.join()


def prepare_worker() -> None:
    """Make this process a good worker: deaf to Ctrl-C, which its parent handles, and gone when its parent is.

    What a plugin prints goes to stderr: stdout belongs to the parent's results.
    """
    os.dup2(2, 1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_leave_with, args=[parent], daemon=True).start()


def _leave_with(parent: multiprocessing.process.BaseProcess) -> None:
    parent.join()
    os._exit(1)


def _check(jobs: int) -> None:
    if jobs < 1:
        raise ValueError(f"jobs must be a whole number >= 1, not {jobs}")


def _check_limit(time_limit: float | None) -> None:
    known = isinstance(time_limit, (int, float)) and not isinstance(time_limit, bool)
    if time_limit is not None and not (known and 0 < time_limit < math.inf):
        raise ValueError(f"time_limit must be a number of seconds above 0, not {time_limit!r}")
