"""What many runs cost besides training them, what a second worker brings, and whether the time left is right:

    uv run python tests/benchmarks/scale.py

    host       1,000 runs of a quadratic: processor time of the host itself, by what it does, and its memory
    files      what creating, writing and ending its files takes of such a run
    workers    the same grid on one worker and on two, and what the machine itself gives: the same runs in one process,
               and in two that know nothing of each other
    forecast   a grid of mixed batch sizes: the time left that was told, against the time that was left

Every part runs in a process of its own. `--only host files` runs some of them. The table goes to stdout; other programs
must rest, and how much of the cores they used meanwhile is said with it.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs

import optiscope
from optiscope import sweep
from optiscope.cli import live
from optiscope.config import GridConfig
from optiscope.storage import RunWriter
from optiscope.sweep import run as sweep_run
from optiscope.sweep.worker import run_to_file, run_to_verdict

LRS = [0.01 * 1.5**k for k in range(10)]
QUADRATICS = GridConfig(model="quadratic", optimizers=["sgd"], batch_sizes=[1], lrs=LRS, seeds=100, steps=100)
EQUAL = GridConfig(optimizers=["sgd"], batch_sizes=[100], seeds=16, steps=400)
MIXED = GridConfig(batch_sizes=[25, 50, 100, 200], steps=400)
ROUNDS = 5
ALONE = attrs.evolve(EQUAL, seeds=4)
AT = (0.1, 0.25, 0.5, 0.75, 0.9)

Row = tuple[str, str, str]


def cpu() -> float:
    """Return the processor time of this process, without that of its workers, in seconds."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def host() -> list[Row]:
    spent: dict[str, float] = {}
    began = {"cpu": cpu(), "wall": time.perf_counter()}

    def timed(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **more: Any) -> Any:
            before = cpu()
            try:
                return function(*arguments, **more)
            finally:
                spent[name] = spent.get(name, 0.0) + cpu() - before

        return call

    for name in ("plan", "execute", "write_index", "label_folder"):
        setattr(sweep_run, name, timed(name, getattr(sweep_run, name)))
    runs = len(QUADRATICS.lrs) * QUADRATICS.seeds
    with tempfile.TemporaryDirectory() as out, open(os.devnull, "w") as nowhere:
        from rich.console import Console

        watcher = live.QuietWatcher(Console(file=nowhere))
        optiscope.characterize(QUADRATICS, Path(out) / "out", on_progress=watcher)
    wall = time.perf_counter() - began["wall"]
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6
    own = sum(spent.values()) - spent["label_folder"]
    words = {"plan": "planning", "execute": "handing over and watching", "write_index": "the index"}
    rows = [(f"host: {words[name]}", f"{1e3 * spent[name] / runs:.2f} ms a run", "") for name in words]
    return [
        ("host: all of its own", f"{1e3 * own / runs:.2f} ms a run", "<= 5 ms a run"),
        *rows,
        ("host: cells, afterwards", f"{1e3 * spent['label_folder'] / runs:.2f} ms a run", ""),
        ("host: peak memory", f"{memory:.0f} MB", "<= 300 MB"),
        (f"{runs:,} runs on {sweep_run.default_jobs(1)} workers", f"{1e3 * wall / runs:.1f} ms a run", ""),
    ]


def files() -> list[Row]:
    spent = [0.0]

    def timed(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **more: Any) -> Any:
            before = time.perf_counter()
            try:
                return function(*arguments, **more)
            finally:
                spent[-1] += time.perf_counter() - before

        return call

    for name in ("write_step", "write_epoch", "keep", "finish", "close"):
        setattr(RunWriter, name, timed(getattr(RunWriter, name)))
    RunWriter.take_up = timed(RunWriter.take_up)  # type: ignore[method-assign]
    whole = []
    with tempfile.TemporaryDirectory() as folder:
        for run in sweep.plan(attrs.evolve(QUADRATICS, seeds=5)):
            spent.append(0.0)
            before = time.perf_counter()
            run_to_file(run.config, folder)
            whole.append(time.perf_counter() - before)
    return [
        ("a run's files", f"{1e3 * statistics.median(spent[2:]):.1f} ms", "<= 60 ms"),
        ("a run, in a process that has begun", f"{1e3 * statistics.median(whole[1:]):.1f} ms", ""),
    ]


def workers() -> list[Row]:
    took: dict[int, list[float]] = {1: [], 2: []}
    a_run: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(ROUNDS):
        for jobs in took:
            with tempfile.TemporaryDirectory() as out:
                before = time.perf_counter()
                optiscope.characterize(EQUAL, Path(out) / "out", jobs=jobs)
                took[jobs].append(time.perf_counter() - before)
            command = [sys.executable, __file__, "--alone"]
            beside = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(jobs)]
            a_run[jobs].append(statistics.fmean(float(process.communicate()[0]) for process in beside))
    one, two = (statistics.median(seconds) for seconds in took.values())
    single, double = (statistics.median(seconds) for seconds in a_run.values())
    said = f"{one:.1f} s and {two:.1f} s: {one / two:.2f} times"
    machine = f"{single:.2f} s and {double:.2f} s a run: {2 * single / double:.2f} times"
    return [
        (f"one worker and two, {EQUAL.seeds} runs of {EQUAL.model[0]}", said, ">= 1.9 times"),
        ("the machine: one process and two that know nothing of each other", machine, ""),
    ]


def alone() -> float:
    """Return the seconds that a run takes in this process, from its second on."""
    seconds = []
    with tempfile.TemporaryDirectory() as folder:
        for run in sweep.plan(ALONE):
            before = time.perf_counter()
            run_to_verdict(run.config, folder)
            seconds.append(time.perf_counter() - before)
    return statistics.fmean(seconds[1:])


def forecast() -> list[Row]:
    told: list[tuple[float, float]] = []

    def take(progress: sweep.GridProgress) -> None:
        if progress.remaining is not None:
            told.append((progress.elapsed, progress.remaining))

    with tempfile.TemporaryDirectory() as out:
        optiscope.characterize(MIXED, Path(out) / "out", on_progress=take)
    whole = told[-1][0]
    errors = {elapsed / whole: remaining / (whole - elapsed) - 1 for elapsed, remaining in told if elapsed < whole}
    worst = max((error for share, error in errors.items() if AT[0] <= share <= AT[-1]), key=abs)
    at = ", ".join(f"{errors[min(errors, key=lambda share: abs(share - wanted))]:+.0%}" for wanted in AT)
    return [
        (f"time left of {whole:.0f} s, told after {', '.join(f'{share:.0%}' for share in AT)}", at, "within 30 %"),
        ("the worst between the first tenth and the last", f"{worst:+.0%}", "within 30 %"),
    ]


PARTS: dict[str, Callable[[], list[Row]]] = {"host": host, "files": files, "workers": workers, "forecast": forecast}


@contextmanager
def others(found: list[float]) -> Iterator[None]:
    """Note how many cores programs other than this one and its children used meanwhile; Linux only."""

    def busy() -> float:
        try:
            fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
        except OSError:
            return 0.0
        return (sum(map(int, fields[:8])) - int(fields[3]) - int(fields[4])) / os.sysconf("SC_CLK_TCK")

    def ours() -> float:
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return cpu() + used.ru_utime + used.ru_stime

    before, began = busy() - ours(), time.perf_counter()
    yield
    found.append(max(0.0, busy() - ours() - before) / (time.perf_counter() - began))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Measure what many runs cost besides training them.")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), help="parts to run (all)")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.alone:
        print(alone())
        return
    if options.here:
        print(json.dumps(PARTS[options.only[0]]()))
        return
    rows, busy = [], []
    for part in options.only:
        command = [sys.executable, __file__, "--here", "--only", part]
        with others(busy):
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        rows += [(*row, f"{busy[-1]:.2f}") for row in json.loads(done.stdout)]
    print("| what | measured | asked for | cores in use by others |\n| --- | --- | --- | --- |")
    for row in rows:
        print(f"| {' | '.join(row)} |")


if __name__ == "__main__":
    main()
