"""An executor on dask.distributed: the runs of a grid on the workers of a cluster, or on some that are started here.

    optiscope characterize --executor dask --set dask.address=tcp://head:8786 --jobs 40 --out /shared/study

A thin shell over the executor that dask's own client has. What goes to a worker is a run's configuration and the folder
of the run files; what it makes of them lies in that folder, which all must share. When dask loses a worker it gives its
run to another one, which takes the run up from its last whole epoch.

Importing dask takes a while. So nothing here does, until the executor is asked for.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import socket
import sys
import threading
import uuid
import weakref
from collections.abc import Callable, Iterator, Sequence
from concurrent import futures
from concurrent.futures import BrokenExecutor, Executor, Future
from pathlib import Path
from typing import Any, ClassVar

from optiscope.hooks import hookimpl

DEAF = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)"
"""What a worker process of our own does first: Ctrl-C is for the process that started the grid, which then ends it."""


class Dask(Executor):
    """The workers of the scheduler at `address`, or `jobs` worker processes on this machine where that is empty.

    An address that ends in .json is the path of a scheduler file. A run that takes longer than `time_limit` seconds
    ends the process of its worker, which dask's nanny starts anew. Dask gives the run to the next one, as that of any
    worker that it lost; there it is not begun again, and its future raises TimeoutError.
    """

    name: ClassVar[str] = "dask"
    ahead: ClassVar[int] = 0
    """Dask charges what waits at a worker for its death as well: so nothing does."""

    def __init__(self, jobs: int = 2, address: str = "", time_limit: float | None = None) -> None:
        import dask
        from distributed import Client, LocalCluster
        from distributed.comm import get_address_host_port

        if jobs < 1:
            raise ValueError(f"jobs must be a whole number >= 1, not {jobs}")
        if time_limit is not None and not time_limit > 0:
            raise ValueError(f"time_limit must be a number of seconds above 0, not {time_limit!r}")
        self._time_limit = time_limit
        self._cluster = None
        if not address:
            # On a busy machine a worker may take longer than dask's 15 s to start anew, and would be gone for good.
            dask.config.set({"distributed.deploy.lost-worker-timeout": "1 hour"})
            self._cluster = LocalCluster(
                n_workers=jobs,
                threads_per_worker=1,
                dashboard_address=":0",
                silence_logs=logging.CRITICAL,  # what a run raises comes with its future
                preload=DEAF,
                config={"logging": {"distributed": "error"}},
            )
            address = self._cluster.scheduler_address
        try:
            where = json.loads(Path(address).read_text())["address"] if address.endswith(".json") else address
            # Somebody has to be there: a client that finds nobody keeps its process from ending for a minute.
            socket.create_connection(get_address_host_port(where), timeout=10).close()
            self._client = Client(where, set_as_default=False)
        except (OSError, ValueError, KeyError) as error:
            raise ValueError(f"no scheduler answers at {address}: start one, or check dask.address") from error
        self._executor = self._client.get_executor(pure=False)
        self._handed_over: weakref.WeakSet[Future[Any]] = weakref.WeakSet()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Hand `fn` over; both it and its arguments must be picklable. BrokenExecutor where the scheduler is gone."""
        try:
            future: Future[Any] = self._executor.submit(_work, self._time_limit, uuid.uuid4().hex, fn, *args, **kwargs)
        except RuntimeError as error:
            raise BrokenExecutor(f"the scheduler takes nothing more ({error})") from error
        self._handed_over.add(future)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Let go of the cluster, and end the workers that were started here.

        Dask cannot end what other workers have begun: with `cancel_futures` they get nothing more.
        """
        if wait and not cancel_futures:
            futures.wait(self._handed_over)
        self._executor.shutdown(wait=False)  # dask would wait for what it had lost to be computed again
        self._client.close()
        if self._cluster is not None:
            self._cluster.close()


def _work(time_limit: float | None, name: str, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """Call `fn` in a worker; what plugins print goes to stderr, as stdout may belong to the results of who asked."""
    with contextlib.redirect_stdout(sys.stderr), _within(time_limit, name):
        return fn(*args, **kwargs)


@contextlib.contextmanager
def _within(time_limit: float | None, name: str) -> Iterator[None]:
    """End this process where the block takes too long; TimeoutError where it did so in a worker before.

    The scheduler keeps under `name` that it did. The process ends before anybody hears of it: with it goes the lock on
    the file of its run, which may be begun again at once.
    """
    if time_limit is None:
        yield
        return
    from distributed import Event, get_client

    late = Event(name, get_client())
    if late.is_set():
        late.clear()
        raise TimeoutError(f"it took longer than {time_limit:g} seconds")

    def end() -> None:
        try:
            late.set()
        finally:
            os._exit(1)

    timer = threading.Timer(time_limit, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


@hookimpl
def optiscope_executors() -> Sequence[Any]:
    """Bring the executor."""
    return [Dask]
