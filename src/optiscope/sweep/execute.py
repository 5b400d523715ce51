"""Runs that go to an executor, and what becomes of those whose worker fails.

A worker that dies, runs out of memory or goes beyond its time limit costs its run only. The run is tried once more,
after all others, from its last whole epoch where it has one. If that fails as well it is lost, and `execute` returns
why.

Most executors say whose worker it was. One that breaks down as a whole, as a ProcessPoolExecutor does, takes all runs
with it that it was handed. It is built anew. Those of its runs that had begun are tried again one at a time, so that
only the one at fault breaks it again, and is charged; those that had not are as good as new. Where none had begun, the
workers cannot even start, and nothing more is handed over.
"""

from __future__ import annotations

import math
import os
import signal
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, CancelledError, Executor, Future, wait
from contextlib import suppress
from pathlib import Path
from typing import Any

from optiscope.engine import Prepared
from optiscope.errors import RAISED, HeldError, NotRepeatedError, OptiscopeError, PluginError, told
from optiscope.labels import RunVerdict
from optiscope.records import RunResult
from optiscope.storage import open_run
from optiscope.sweep.progress import GridProgress
from optiscope.sweep.watch import Watch
from optiscope.sweep.worker import Ended, run_to_verdict

OnProgress = Callable[[GridProgress], None]
After = Callable[[Prepared, RunVerdict | None], Sequence[Prepared]]
LOOK_EVERY = 0.5
"""Seconds between two looks at the files of active runs."""

AHEAD = 2
"""Runs that are queued beyond those that are trained, so that no worker waits for its next one; an executor may have
another number in `ahead`.
"""


class Workers(Executor):
    """The executor that `build` makes, which can be built anew where it broke down.

    What is wrong with it is a PluginError that says what it is `called`.
    """

    def __init__(self, build: Callable[[], Any], called: str = "the executor") -> None:
        self._build, self._called = build, called
        self._built = build()
        for name in ("submit", "shutdown"):
            if not callable(getattr(self._built, name, None)):
                raise self._wrong(f"has no {name}")
        self.ahead: int = getattr(self._built, "ahead", AHEAD)

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Hand over to the executor; BrokenExecutor where it broke down."""
        try:
            future = self._built.submit(fn, *args, **kwargs)
        except BrokenExecutor:
            raise
        except RAISED as error:
            raise PluginError(f"{self._called} failed in submit: {told(error)}") from error
        if not isinstance(future, Future):
            raise self._wrong(f"returned {type(future).__name__} from submit")
        return future

    def result(self, future: Future[Any]) -> Ended:
        """Return how the run of a `future` of this executor ended, which has raised nothing."""
        ended = future.result()
        if not isinstance(ended, Ended):
            raise PluginError(
                f"{self._called} has {type(ended).__name__} as the result of a run: it must be what the submitted "
                "function returns"
            )
        return ended

    def renew(self) -> None:
        """Put another one in the place of the executor."""
        self.shutdown(wait=True, cancel_futures=True)
        self._built = self._build()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Shut the executor down."""
        try:
            self._built.shutdown(wait=wait, cancel_futures=cancel_futures)
        except RAISED as error:
            raise PluginError(f"{self._called} failed in shutdown: {told(error)}") from error

    def _wrong(self, what: str) -> PluginError:
        return PluginError(f"{self._called} {what}: let it be a concurrent.futures.Executor")


def execute(
    pending: Sequence[Prepared],
    workers: Workers,
    in_flight: int,
    folder: Path,
    watch: Watch,
    on_progress: OnProgress | None,
    after: After = lambda run, verdict: (),
) -> dict[str, str]:
    """Run `pending`, at most `in_flight` handed over at a time; return run_id -> why of those that came to no end.

    `on_progress` is told every `LOOK_EVERY` seconds, and at the end. While a run that is over waits to be taken note
    of, nothing is handed over: an executor that trains in `submit` itself shows progress as well, and begins nothing
    after Ctrl-C. `after` is given a run that is over, however it ended, and the verdict that its worker formed, if it
    did; it says which runs follow, and they are the next.

    What concerns the whole grid is raised: a full disk, and Ctrl-C, which a run trained in this process takes for
    itself.
    """
    return _Execution(pending, workers, in_flight, folder, watch, on_progress, after).run()


class _Execution:
    """One call of `execute`. `suspects` are tried with nobody beside them; `broken` went down with the executor."""

    def __init__(
        self,
        pending: Sequence[Prepared],
        workers: Workers,
        in_flight: int,
        folder: Path,
        watch: Watch,
        on_progress: OnProgress | None,
        after: After,
    ) -> None:
        self._workers, self._in_flight, self._folder = workers, in_flight, folder
        self._watch, self._on_progress, self._after = watch, on_progress, after
        self._queue, self._suspects = deque(pending), deque[Prepared]()
        self._active: dict[Future[Ended], Prepared] = {}
        self._before: dict[str, object] = {}
        self._broken: dict[str, tuple[Prepared, BaseException]] = {}
        self._failed: dict[str, str] = {}
        self._lost: dict[str, str] = {}
        self._events: list[str] = []
        self._told_at = -math.inf

    def run(self) -> dict[str, str]:
        """Run all of them."""
        while self._queue or self._suspects or self._active:
            self._hand_over()
            wait(self._active, timeout=LOOK_EVERY, return_when=FIRST_COMPLETED)
            for future in [future for future in self._active if future.done()]:
                self._take(future)
            if self._broken and not self._active:
                self._mend()
            self._tell()
        return self._lost

    def _hand_over(self) -> None:
        """Hand over as many as there is room for: none beside a suspect, none to an executor that is broken."""
        queue, room = (self._suspects, 1) if self._suspects else (self._queue, self._in_flight)
        while queue and len(self._active) < room and not self._broken and not any(f.done() for f in self._active):
            run = queue.popleft()
            run_id = run.info.run_id
            if run_id in self._failed and self._finished(run_id):  # a worker that was given up for lost went on
                self._note(run)
                continue
            self._before[run_id] = self._traces(run_id)
            try:
                self._active[self._workers.submit(run_to_verdict, run.config, str(self._folder.resolve()))] = run
            except BrokenExecutor as error:
                self._broken[run_id] = run, error

    def _take(self, future: Future[Ended]) -> None:
        """Take note of how a run ended, or did not."""
        run = self._active.pop(future)
        run_id = run.info.run_id
        error = CancelledError("it was cancelled") if future.cancelled() else future.exception()
        if error is None:
            ended = self._workers.result(future)
            self._watch.take(ended.result)
            self._events += _told(run_id, ended.result)
            self._follow(run, ended.verdict)
        elif isinstance(error, BrokenExecutor):
            self._broken[run_id] = run, error
        elif isinstance(error, (NotRepeatedError, PluginError)):
            self._lose(run, str(error))
        elif isinstance(error, OptiscopeError) and not isinstance(error, HeldError):
            raise error
        else:
            self._again(run, _reason(error), self._queue)

    def _mend(self) -> None:
        """Build the executor anew, and find out with whom it broke down; give up where the next would do no better."""
        broken = {run_id: each for run_id, each in self._broken.items() if not self._finished(run_id)}
        begun = [run_id for run_id in broken if self._traces(run_id) != self._before[run_id]]
        reason = _reason(next(error for _, error in self._broken.values()))
        self._broken = {}
        if broken and not begun:
            self._give_up([run for run, _ in broken.values()], reason)
            return
        self._workers.renew()
        self._queue.extendleft(run for run_id, (run, _) in reversed(broken.items()) if run_id not in begun)
        if len(begun) == 1:
            self._again(broken[begun[0]][0], reason, self._suspects)
        elif begun:
            for run_id in begun:
                self._failed.setdefault(run_id, reason)
                self._suspects.append(broken[run_id][0])
            self._events.append(f"{reason}: it may be the fault of any of {', '.join(begun)}, now tried one at a time")

    def _give_up(self, broken: Sequence[Prepared], reason: str) -> None:
        left = [*broken, *self._suspects, *self._queue]
        self._queue.clear()
        self._suspects.clear()
        for run in left:
            self._lost[run.info.run_id] = f"no worker could begin with it: {reason}"
        self._events.append(f"no worker could begin with {len(left)} runs: {reason}; --resume runs them again")

    def _again(self, run: Prepared, reason: str, queue: deque[Prepared]) -> None:
        """Put a run that came to no end into `queue` once more, or lose it if it was there before."""
        run_id = run.info.run_id
        if self._finished(run_id):  # its worker failed afterwards
            self._note(run)
            return
        if run_id in self._failed:
            self._lose(run, f"{self._failed[run_id]}; tried again, {reason}")
            return
        self._failed[run_id] = reason
        queue.append(run)
        self._events.append(f"{run_id}: {reason}; it is tried once more")

    def _note(self, run: Prepared) -> None:
        """Take note of a run whose file is whole, although nobody said how it ended."""
        self._watch.skip([run.info.run_id])
        self._follow(run)

    def _follow(self, run: Prepared, verdict: RunVerdict | None = None) -> None:
        more = self._after(run, verdict)
        self._watch.add(more)
        self._queue.extendleft(reversed(more))

    def _lose(self, run: Prepared, why: str) -> None:
        run_id = run.info.run_id
        self._lost[run_id] = why
        self._watch.lose(run_id)
        self._events.append(f"{run_id}: {why}; --resume runs it again")
        self._follow(run)

    def _finished(self, run_id: str) -> bool:
        return is_finished(self._folder / f"{run_id}.h5")

    def _traces(self, run_id: str) -> object:
        """Return what changes when a worker begins with a run: its file, and the lock that a dead worker leaves."""
        found: list[tuple[int, int]] = []
        for name in (f"{run_id}.h5", f"{run_id}.h5.lock"):
            with suppress(OSError):
                entry = os.stat(self._folder / name)
                found.append((entry.st_ino, entry.st_mtime_ns))
        return found

    def _tell(self) -> None:
        """Tell what was not told yet, if it is time."""
        now, ends = time.monotonic(), not (self._queue or self._suspects or self._active)
        if self._on_progress is None or not (ends or now - self._told_at >= LOOK_EVERY):
            return
        active = [run.info.run_id for run in self._active.values()]
        self._on_progress(self._watch.look(active, self._events))
        self._events, self._told_at = [], now


def _told(run_id: str, result: RunResult) -> list[str]:
    """Return a line on a run that failed or went on with an earlier one; KeyboardInterrupt if it was interrupted."""
    if result.status == "interrupted":
        raise KeyboardInterrupt
    told = [f"{run_id}: {result.why}"] if result.status == "failed" else []
    if result.taken_up:
        told.append(f"{run_id}: taken up after step {result.taken_up}, {_steps(result.repeated)} computed again")
    elif result.repeated:
        told.append(f"{run_id}: begun anew, {_steps(result.repeated)} computed again")
    return told


def _steps(count: int) -> str:
    return f"{count} step{'s' * (count != 1)}"


def _reason(error: BaseException) -> str:
    """Return in words why a worker did not bring its run to an end."""
    if isinstance(error, TimeoutError):
        return "it took longer than its time limit"
    if isinstance(error, MemoryError):
        return "it ran out of memory"
    if isinstance(error, OptiscopeError):
        return str(error)
    code = getattr(error, "exitcode", None)
    if isinstance(code, int):
        return f"its worker died ({signal.Signals(-code).name if code < 0 else f'exit code {code}'})"
    said = " ".join(f"{type(error).__name__}: {error}".split())
    return f"its worker failed ({said.partition('. ')[0]})"  # after its first sentence dask's goes on at length


def is_finished(path: Path) -> bool:
    """Say whether a run file holds a run that need not be trained again; one that failed is."""
    if not path.exists():
        return False
    try:
        with open_run(path) as run:
            return run.status in ("completed", "diverged")
    except (OptiscopeError, OSError):
        return False
