"""Kill a real `characterize` again and again, and look at what it leaves:

    python tests/benchmarks/kills.py --kills 200

Each trial kills the whole process group with SIGKILL at a random moment of its life, start and end included. The moment
is a number of steps that the files vouch for, and a little later: so the kills fall where they should on a busy machine
as well. Where so many are there from the beginning, the kill comes while the program starts. Then the trial

    opens every run file with plain `h5py.File(path, "r")`, and reads all that it vouches for
    compares the counts with the last ones that were seen in the file before the kill: nothing that was there is gone
    goes on with `--resume`, into the next kill

until the grid has ended. Then the grid that was killed must have the content of one that was not, bit for bit but for
clocks; and the next one begins. The counts go to stdout. tests/sweep/test_kill.py does the same with few kills.
"""

from __future__ import annotations

import argparse
import math
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

GRID = [
    *["--data", "synthetic", "--set", "synthetic.train=400", "synthetic.test=40", "--optimizers", "sgd", "adam"],
    *["--batch-sizes", "50", "100", "--order", "reshuffle", "--kernels", "im2col"],
]
CLOCK = ("time", "created_utc", "content_sha256", "run_state")
RUNS, STEPS = 4, 120
"""Runs of the grid, and steps of each."""

BEYOND = 1.15
"""Kills are drawn up to so many times the steps of the grid: those that never come let the grid end."""

LATER = 0.3
"""Seconds, at most, from the step that was drawn to the kill: longer than a run takes to finish its file."""

EVERY = 0.04
"""Seconds between two looks at the files: to open them costs the program time. The last look is at the kill."""


def command(out: Path, *more: str) -> list[str]:
    """Return the command that begins, or goes on, in `out`."""
    return [
        str(Path(sys.executable).parent / "optiscope"),
        "characterize",
        *GRID,
        "--steps",
        str(STEPS),
        "--out",
        str(out),
        *more,
    ]


def counts(path: Path) -> tuple[int, int]:
    """Return the steps and epochs that a file vouches for."""
    with h5py.File(path, "r", locking=False) as file:
        n_steps, n_epochs, _, _ = file["run_state"][:]
    return int(n_steps), int(n_epochs)


def content(path: Path) -> dict[str, Any]:
    """Return everything in a finished file that does not follow a clock."""
    found: dict[str, Any] = {}

    def add(name: str, item: Any) -> None:
        found[name] = sorted(key for key in item.attrs if not any(word in key for word in CLOCK))
        if isinstance(item, h5py.Dataset) and not any(word in name for word in CLOCK):
            found[name] = item.asstr()[()].tolist() if item.dtype.kind == "O" else item[()].tobytes()

    with h5py.File(path, "r") as file:
        file.visititems(add)
        attributes = {key: value for key, value in file.attrs.items() if not any(word in key for word in CLOCK)}
    return found | {"/": attributes}


def kill_at(out: Path, steps: float, later: float, *more: str) -> tuple[bool, dict[Path, tuple[int, int]]]:
    """Begin or go on, and kill `later` seconds after so many steps; return whether it had ended, and what was seen."""
    seen: dict[Path, tuple[int, int]] = {}

    def watch() -> None:
        seen.update({path: counts(path) for path in out.glob("runs/*.h5")})

    with subprocess.Popen(
        command(out, *more), start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        deadline = math.inf
        while time.monotonic() < deadline and process.poll() is None:
            watch()
            if deadline == math.inf and sum(done for done, _ in seen.values()) >= steps:
                deadline = time.monotonic() + later
            time.sleep(EVERY)
        ended = process.poll() is not None
        if not ended:
            watch()
            os.killpg(process.pid, signal.SIGKILL)
    if ended and process.returncode:
        raise SystemExit(f"characterize ended with {process.returncode}: run {' '.join(command(out, *more))}")
    return ended, seen


def look(out: Path, seen: dict[Path, tuple[int, int]]) -> None:
    """Read all that the files of `out` vouch for; raise where one does not open, or has less than was seen before."""
    for path in out.glob("runs/*.h5"):
        now = counts(path)
        if now < seen.get(path, (0, 0)):
            raise SystemExit(f"{path} had {seen[path]} steps and epochs, and {now} after the kill")
        with h5py.File(path, "r") as file:
            rows = [file[f"step/{name}"][: now[0]] for name in ("loss", "grad_norm", "logits_q05")]
            if any(np.isnan(values).any() for values in rows):
                raise SystemExit(f"{path} vouches for {now[0]} steps, and not all of them are there")


def trial(
    folder: Path, reference: dict[str, Any], random: np.random.Generator, most: int, start: float
) -> Counter[str]:
    """Kill one grid until it ends, at most `most` times; return what was counted. A start takes `start` seconds."""
    out, told = folder / "out", Counter[str]()
    more: list[str] = []
    while told["kills"] < most:
        steps = random.uniform(0, BEYOND * RUNS * STEPS)
        there = sum(counts(path)[0] for path in out.glob("runs/*.h5"))
        later = random.uniform(0, start if there >= steps else LATER)
        ended, seen = kill_at(out, float(steps), float(later), *more)
        look(out, seen)
        if ended:
            break
        told["kills"] += 1
        told["files opened after a kill"] += len(list(out.glob("runs/*.h5")))
        more = ["--resume"] if (out / "grid.json").exists() else []
    else:
        subprocess.run(command(out, *more), check=True, capture_output=True)
    told["grids that came to their end"] += 1
    for path in out.glob("runs/*.h5"):
        if content(path) != reference[path.name]:
            raise SystemExit(f"{path} differs from the run that was not killed")
        told["runs with the content of one that was not killed"] += 1
    if len(list(out.glob("runs/*.h5"))) != len(reference) or list(out.glob("runs/*.state")):
        raise SystemExit(f"{out} has not the files that it should have")
    return told


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Kill a real characterize at random moments, and count.")
    parser.add_argument("--kills", type=int, default=200, help="kills in all (200)")
    parser.add_argument("--seed", type=int, default=0, help="of the random moments (0)")
    options = parser.parse_args(arguments)
    random, told = np.random.default_rng(options.seed), Counter[str]()
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder) / "whole"
        began = time.monotonic()
        subprocess.run(command(whole), check=True, capture_output=True)
        start = (time.monotonic() - began) / 2
        reference = {path.name: content(path) for path in whole.glob("runs/*.h5")}
        while told["kills"] < options.kills:
            with tempfile.TemporaryDirectory() as place:
                told += trial(Path(place), reference, random, options.kills - told["kills"], start)
            print(f"{told['kills']} kills", file=sys.stderr, flush=True)
    for what, count in told.items():
        print(f"{count:6} {what}")


if __name__ == "__main__":
    main()
