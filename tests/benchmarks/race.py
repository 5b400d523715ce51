"""The race between our engine and PyTorch, on this machine:

    uv run --group oracle python tests/benchmarks/race.py --csv race.csv

    step        a full training step, one thread, against PyTorch as it comes and tuned
    grid        two processes of one thread, against PyTorch on two threads and two of it, tuned
    recording   all default signals against no observers
    memory      the peak of a worker
    help        `optiscope --help` against `python -c "import numpy"`
    layers      each layer against the floor, FLOPs over the peak of sgemm

Every contestant is a process (contestants.py): allocators and threads of one do not touch another. A round is as many
steps as it takes until what our engine does repeats (the probe images every 6400 images), so that their cost is in it
in its true share. The steps of a round are cut into short slices, and the contestants take turns slice by slice,
each time another one first: what disturbs the machine disturbs all. Whoever waits, sleeps.

Slices are short for one more reason. A virtual machine may give free memory back to its host within seconds, and
whoever returns memory after every step, as PyTorch does unless it is tuned, then pays for having waited. So every
contestant also trains a round alone before the race, without a pause: where the race is slower than that, something
else than the engines is compared, and a word on stderr says so. On Linux another one says how much of the processors
others used: PyTorch on two threads falls to a fraction of its speed where they have to wait for one another.

Tables go to stdout (tables.py), what is going on to stderr. With `--csv` of an earlier race, the parts that are run
again replace theirs.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from contestants import AbsentError, Racer  # noqa: E402
from tables import COLUMNS, markdown, read, write  # noqa: E402

SLICE = 0.2
"""Seconds of a slice of the slowest contestant, or one step if that takes longer."""

DISTURBED = 1.15
"""A race this much slower than the round alone is told of."""

STARTS = 3
"""Times that a program is started in a round."""

BUSY = 0.1
"""Cores in use by others; more is told of."""

LONGEST_PERIOD = 6600
"""Images of a round, at most."""

Row = dict[str, Any]
Figure = tuple[Racer, int, int, float]
"""Racer, round (0 is the one alone), steps and seconds."""


def compete(racers: Sequence[Racer], rounds: int, steps: int | None = None) -> Iterator[Figure]:
    """Let every racer warm up and train a round alone, and then `rounds` of them slice by slice."""
    steps = steps or max(racer.period for racer in racers)
    slowest = 0.0
    for racer in racers:
        racer.turn(-(-steps // 2))
        seconds = racer.turn(steps)
        slowest = max(slowest, seconds)
        yield racer, 0, steps, seconds
    slices = max(1, min(steps, round(slowest / SLICE)))
    lead = 0
    for number in range(1, rounds + 1):
        spent = dict.fromkeys(racers, 0.0)
        for part in range(slices):
            share = steps * (part + 1) // slices - steps * part // slices
            for racer in (*racers[lead:], *racers[:lead]):
                spent[racer] += racer.turn(share)
            lead = (lead + 1) % len(racers)
        for racer in racers:
            yield racer, number, steps, spent[racer]


def race(part: str, entries: dict[str, Row], model: str, batch: int, rounds: int, period: int | None) -> list[Row]:
    """Return a row for each entry and round: ms a step, or images a second where `part` is "grid"."""
    told(f"{part}: {model}, batch {batch}")
    steps = (rounds + 2) * (period or -(-LONGEST_PERIOD // batch)) + 2
    common = {"model": model, "batch": batch, "steps": steps}
    began, before = time.monotonic(), others()
    racers = [Racer(name, **{"recording": True, "threads": 1} | spec | common) for name, spec in entries.items()]
    rows = []
    try:
        running = [racer for racer in racers if _runs(racer)]
        for racer, number, done, seconds in compete(running, rounds, period) if running else ():
            processes = entries[racer.name].get("processes", 1)
            value = processes * done * batch / seconds if part == "grid" else seconds / done * 1e3
            rows.append(_row(part, model, batch, racer.name, number, value, "" if number else "alone"))
        _tell_disturbed(part, rows)
    finally:
        for racer in racers:
            racer.close()
    busy = max(0.0, others() - before) / (time.monotonic() - began)
    if busy > BUSY:
        told(f"  other programs used {busy:.1f} cores meanwhile: measure again when they rest")
    order = list(entries)
    rows = sorted(rows, key=lambda row: (order.index(row["contestant"]), row["round"]))
    return [*rows, _row(part, model, batch, "", 0, busy, "others")]


def others() -> float:
    """Return the seconds of processor time, since some start, that went to others than this race; 0 if not known.

    What this process and its children that have ended used is the race's.
    """
    stat = Path("/proc/stat")
    if not stat.exists():
        return 0.0
    user, nice, system, _, _, interrupts, soft, steal = map(int, stat.read_text().split()[1:9])
    own = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    busy = (user + nice + system + interrupts + soft + steal) / os.sysconf("SC_CLK_TCK")
    return busy - sum(usage.ru_utime + usage.ru_stime for usage in own)


def _tell_disturbed(part: str, rows: Sequence[Row]) -> None:
    for alone in (row for row in rows if row["item"] == "alone"):
        together = median(row["value"] for row in rows if row["contestant"] == alone["contestant"] and not row["item"])
        slower = alone["value"] / together if part == "grid" else together / alone["value"]
        if slower > DISTURBED:
            told(f"  {alone['contestant']} is {slower:.2f} times slower in the race than alone: measure again")


def _runs(racer: Racer) -> bool:
    try:
        racer.wait()
    except AbsentError as error:
        told(f"  without {racer.name}: {error}")
        return False
    return True


def _row(part: str, model: str, batch: int | str, who: str, number: int, value: float, item: str = "") -> Row:
    return dict(zip(COLUMNS, (part, model, batch, who, item, number, value), strict=True))


def step(options: argparse.Namespace) -> list[Row]:
    entries = {who: {"who": who} for who in (*options.kernels, "eager", "tuned")}
    return _all_cells("step", entries, options)


def grid(options: argparse.Namespace) -> list[Row]:
    entries = {f"{who}, 2 x 1 thread": {"who": who, "processes": 2} for who in (*options.kernels, "tuned")}
    entries["eager, 1 x 2 threads"] = {"who": "eager", "threads": 2}
    return _all_cells("grid", entries, options)


def recording(options: argparse.Namespace) -> list[Row]:
    rows = []
    for who in options.kernels:
        entries = {"all signals": {"who": who}, "no observers": {"who": who, "recording": False}}
        rows += [{**row, "model": f"{row['model']}, {who}"} for row in _all_cells("recording", entries, options)]
    return rows


def _all_cells(part: str, entries: dict[str, Row], options: argparse.Namespace) -> list[Row]:
    return [
        row
        for model in options.models
        for batch in options.batches
        for row in race(part, entries, model, batch, options.rounds, options.steps)
    ]


def memory(options: argparse.Namespace) -> list[Row]:
    model, batch = options.models[0], max(options.batches)
    rows = []
    for kernels in options.kernels:
        for data in ("synthetic", "cifar10-sized"):
            told(f"memory: {model}, batch {batch}, {kernels}, {data}")
            value = _in_process("memory.py", kernels=kernels, model=model, batch=batch, data=data)
            if value is not None:
                rows.append(_row("memory", model, batch, kernels, 1, value, data))
    return rows


def layers(options: argparse.Namespace) -> list[Row]:
    rows = []
    for model in options.models:
        for kernels in options.kernels:
            batch = 100 if 100 in options.batches else options.batches[0]
            told(f"layers: {model}, batch {batch}, {kernels}")
            found = _in_process("layers.py", kernels=kernels, model=model, batch=batch, rounds=options.rounds)
            rows += [{**_row("layers", model, batch, kernels, 0, 0.0), **figure} for figure in found or ()]
    return rows


def _in_process(script: str, **options: Any) -> Any:
    """Return what a script of this folder prints as JSON; None, said aloud, where it fails."""
    command = [sys.executable, str(HERE / script), json.dumps(options)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        told(f"  without {options['kernels']}: {(done.stderr.splitlines() or ['it said nothing'])[-1]}")
        return None
    return json.loads(done.stdout)


def help_(options: argparse.Namespace) -> list[Row]:
    told("help")
    commands = {
        "optiscope --help": [str(Path(sys.executable).parent / "optiscope"), "--help"],
        "import numpy": [sys.executable, "-c", "import numpy"],
    }
    rows = []
    for number in range(STARTS * options.rounds + 1):
        for name, command in commands.items():
            start = time.perf_counter()
            subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
            if number:  # the first may find nothing compiled
                rows.append(_row("help", "", "", name, number, (time.perf_counter() - start) * 1e3))
    return rows


PARTS: dict[str, Callable[[argparse.Namespace], list[Row]]] = {
    "step": step,
    "grid": grid,
    "recording": recording,
    "memory": memory,
    "help": help_,
    "layers": layers,
}


def machine() -> list[Row]:
    """Return what the figures depend on: processor, system, versions, day."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = [line.partition(":") for line in info.read_text().splitlines()]
        cpu = next((text.strip() for key, _, text in lines if key.strip() == "model name"), cpu)
        flags = next((text.split() for key, _, text in lines if key.strip() == "flags"), [])
        cpu += " with AVX-512" if "avx512f" in flags else " with AVX2" if "avx2" in flags else ""
    facts = {
        "processor": cpu,
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "Python": platform.python_version(),
    }
    for package, name in (("numpy", "NumPy"), ("torch", "PyTorch"), ("numba", "numba")):
        try:
            facts[name] = version(package)
        except PackageNotFoundError:
            continue
    return [_row("machine", "", "", "", 0, value, item) for item, value in facts.items()]


def earlier(path: Path, here: Sequence[Row], again: Sequence[str]) -> list[Row]:
    """Return the rows of `path` whose parts are not run again; they must come from this machine."""
    rows = read(path)
    there = {row["item"]: row["value"] for row in rows if row["part"] == "machine"}
    if there != {row["item"]: str(row["value"]) for row in here}:
        raise SystemExit(f"{path} was measured elsewhere, or with other versions: give --csv another file")
    return [row for row in rows if row["part"] not in ("machine", *again)]


def told(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Race our engine against PyTorch, and print tables in Markdown.")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), help="parts of the race (all)")
    parser.add_argument("--rounds", type=int, default=7, help="rounds of each cell (7)")
    parser.add_argument("--steps", type=int, help="steps of a round (all until what our engine does repeats)")
    parser.add_argument("--models", nargs="+", default=["paper-cnn", "small-cnn"], help="models (both)")
    parser.add_argument("--batches", nargs="+", type=int, default=[50, 100, 150, 200], help="batch sizes")
    parser.add_argument("--kernels", nargs="+", default=["winograd", "numba"], help="sets of our kernels")
    parser.add_argument("--csv", type=Path, help="where to write every round's figures")
    options = parser.parse_args(arguments)
    rows = machine()
    kept = earlier(options.csv, rows, options.only) if options.csv and options.csv.exists() else []
    for part in options.only:
        rows += PARTS[part](options)
        if options.csv:
            write(options.csv, rows + kept)
    # the file's figures are rounded: of others, tables made of it later could differ in the last digit
    print(markdown(read(options.csv) if options.csv else rows + kept))


if __name__ == "__main__":
    main()
