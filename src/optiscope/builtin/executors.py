"""Where runs are executed: `concurrent.futures.Executor`s, so that a cluster's can take their place.

"processes" is a pool that survives the death of a worker: it costs that worker's run only. Workers are spawned, never
forked, and leave when their parent does, however it ends.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any, ClassVar


class InProcess(Executor):
    """Runs each task at once, in the calling thread; for debugging."""

    name: ClassVar[str] = "in-process"

    def __init__(self, jobs: int = 1) -> None:
        """Take `jobs` as every executor does; there is one."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run `fn` now, and return a future that is done."""
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


class Processes(Executor):
    """`jobs` spawned worker processes."""

    name: ClassVar[str] = "processes"

    def __init__(self, jobs: int = 2) -> None:
        from pebble import ProcessPool

        self._pool: Any = ProcessPool(
            max_workers=jobs, context=multiprocessing.get_context("spawn"), initializer=prepare_worker
        )

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Queue `fn`; both it and its arguments must be picklable."""
        future: Future[Any] = self._pool.schedule(fn, args=list(args), kwargs=kwargs)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Close the pool; with `cancel_futures` end the workers now."""
        if cancel_futures:
            self._pool.stop()
        else:
            self._pool.close()
        if wait:
            self._pool.join()


def prepare_worker() -> None:
    """Make this process a good worker: deaf to Ctrl-C, which its parent handles, and gone when its parent is."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_leave_with, args=[parent], daemon=True).start()


def _leave_with(parent: multiprocessing.process.BaseProcess) -> None:
    parent.join()
    os._exit(1)
