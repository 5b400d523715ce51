"""A sweep of CNN runs across divergence: what was the outcome, and what did the signals say?

    uv run --group oracle python tests/validation/sweep.py run OUT [--jobs N]    train; goes on where it was stopped
    uv run --group oracle python tests/validation/sweep.py read OUT TABLE.csv    one row a run
    uv run --group oracle python tests/validation/sweep.py all OUT TABLE.csv     both, and what follows from the table

`small-cnn` learns the synthetic set with every optimizer of `FAMILIES`, at learning rates from far below to far above
the one where it begins to fail. A row has two kinds of columns. **Truth** comes from the loss on a fixed subset of the
training images after each epoch, which no rule looks at, in units of log K, the loss of one who knows nothing of K
classes: `subset_last` and `subset_best`, `subset_rise` (the largest above the lowest so far), and whether all numbers
were `finite`. All else comes from the series of the file: the verdict, the statistics it rests on, and what others look
at. `trust.py` says what follows.

Limits are fitted on half of the families and half of the seeds at batch size 50 (`part` is "fit"), and judged on the
rest: other seeds of the same families ("seeds"), families that were not seen at all ("families"), and another batch
size ("batch"), at which nobody looked before the rules were what they are.

`short` is the verdict on the first `SHORT` steps of the run alone. For early warning a row has the first step at which
something is known that speaks for a failure, 0 where it never is: `fell` that the loss came below 0.9 of that of a
network that knows nothing, and for each of a ladder of factors `rise_loss` that the loss rose so far above its median
over the 20 steps before, `low_spread` and `low_gradient` that the IQR of the logits and the norm of the gradient came
down to it. Levels other than rises are medians over the last 20 steps.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from baselines import spike_score, stationarity

import optiscope
from optiscope import analysis
from optiscope.analysis.collapse import remains, steepest
from optiscope.analysis.outcome import LIMIT, untrained
from optiscope.hooks import create_manager
from optiscope.labels import build_analyzers, label_run, make_record

FAMILIES = {
    "sgd": 0.14,
    "momentum": 0.08,
    "rmsprop": 0.035,
    "adam": 0.013,
    "nag": 0.08,
    "adagrad": 0.065,
    "adamw": 0.013,
    "lion": 0.011,
}
"""Optimizers, and about where each begins to fail: between the largest lr that trained in a pilot and the next."""

SEEN = ("sgd", "momentum", "rmsprop", "adam")
FACTORS = (0.002, 0.03, 0.1, 0.25, 0.5, 0.8, 1.25, 2.5, 8.0)
SEEDS = {50: 4, 100: 2}
"""Seeds at each batch size."""
STEPS = 400

SHORT = 120
PAST = 20
RISES = np.geomspace(1.1, 1e3, 40)
LEVELS = np.geomspace(2, 1e-2, 60)

Floats = np.ndarray[Any, np.dtype[np.float64]]


def lrs(optimizer: str) -> tuple[float, ...]:
    """Return the learning rates of an optimizer, with two digits."""
    return tuple(float(f"{FAMILIES[optimizer] * factor:.2g}") for factor in FACTORS)


def run(out: Path, jobs: int | None) -> None:
    """Train what is missing, into a folder an optimizer and batch size."""
    for (batch_size, seeds), optimizer in itertools.product(SEEDS.items(), FAMILIES):
        folder = out / f"{optimizer}-{batch_size}"
        grid = optiscope.GridConfig(
            model="small-cnn",
            optimizers=[optimizer],
            batch_sizes=[batch_size],
            lrs=lrs(optimizer),
            seeds=seeds,
            steps=STEPS,
        )
        optiscope.characterize(grid, folder, jobs=jobs, resume=folder.exists())
        print(f"{folder.name}: {seeds} seeds", file=sys.stderr, flush=True)


def level(values: Floats) -> Floats:
    """Return the median over the last 20 steps, [T], inf where one of them is not finite, nan over the first 19."""
    finite = np.where(np.isfinite(values), values, np.inf)
    if values.size < PAST:
        return np.full(values.size, np.nan)
    inner = np.median(np.lib.stride_tricks.sliding_window_view(finite, PAST), axis=-1)
    return np.concatenate([np.full(PAST - 1, np.nan), inner])


def first(found: npt.NDArray[np.bool_]) -> int:
    """Return the first step, from 1, at which it is so; 0 where it never is."""
    return int(np.argmax(found)) + 1 if found.any() else 0


def rises(values: Floats) -> list[int]:
    """Return the step at which a series first exceeds its median over the 20 steps before by each of `RISES`."""
    past = np.concatenate([[np.nan], level(values)[:-1]])
    with np.errstate(invalid="ignore", over="ignore"):
        above = np.where(np.isfinite(values), values / past, np.inf)
    above[:PAST] = 0
    return [first(above >= factor) for factor in RISES]


def falls(values: Floats) -> list[int]:
    """Return the step at which the level of a series first comes down to each of `LEVELS`."""
    return [first(level(values) <= low) for low in LEVELS]


def fell(loss: Floats, chance: float | None) -> int:
    """Return the step at which the level of the loss first lies below 0.9 of that of a network that knows nothing."""
    unit = untrained(loss, chance)
    return 0 if unit is None else first(level(loss) < LIMIT * unit)


def eye(values: Floats) -> float:
    """Return std / abs(mean): what one sees at a glance."""
    mean = abs(float(np.mean(values))) if values.size else 0.0
    return float(np.std(values)) / mean if mean > 0 else np.inf


def short(record: Any, analyzers: Any) -> str:
    """Return the verdict on the first steps of a run alone; empty where it has no more of them."""
    if record.n_steps <= SHORT:
        return ""
    names = ("loss", "grad_norm", "update_norm", "logits_q05", "logits_iqr")
    steps = {name: analysis.series(record, name)[:SHORT] for name in names}
    config = {name: record.config[name] for name in ("steps_per_epoch", "batch_size", "outputs")}
    return label_run(make_record(steps, config=config), analyzers).verdict


def part(config: Mapping[str, Any]) -> str:
    """Return which part of the sweep a run is in."""
    if config["batch_size"] != 50:
        return "batch"
    if config["optimizer"] not in SEEN:
        return "families"
    return "fit" if config["seed"] < SEEDS[50] // 2 else "seeds"


def row(record: Any, analyzers: Any) -> dict[str, Any]:
    """Return what the table says of a run."""
    config, finite = record.config, record.status != "diverged"
    subset = np.asarray(record.epochs["train_loss"], dtype=float) / np.log(config["outputs"])
    known = subset.size and np.isfinite(subset).all()
    verdict = label_run(record, analyzers)
    found = {finding.name: finding for finding in verdict.findings}
    q05, iqr = analysis.series(record, "logits_q05"), analysis.series(record, "logits_iqr")
    loss, gradient = analysis.series(record, "loss"), analysis.gradient_norm(record)
    bound = analysis.lower_bound(q05, iqr, int(config["steps_per_epoch"]))
    back = analysis.setback(loss, (bound.burn + 1, loss.size), analysis.chance_loss(record))
    alarms = [alarm for alarm in found["envelope"].alarms if alarm.name != "R"]
    blamed = [analysis.setback(loss, alarm.steps, analysis.chance_loss(record)) for alarm in alarms]
    return {
        "optimizer": config["optimizer"],
        "batch_size": config["batch_size"],
        "lr": config["lr"],
        "seed": config["seed"],
        "part": part(config),
        "finite": int(finite and bool(known)),
        "subset_last": _number(subset[-1] if known else None),
        "subset_best": _number(subset.min() if known else None),
        "subset_rise": _number(np.max(subset - np.minimum.accumulate(subset)) if known else None),
        "steps": record.n_steps,
        "verdict": verdict.verdict,
        "outcome": verdict.outcome,
        "signal": verdict.signal,
        "short": short(record, analyzers),
        "burn": bound.burn,
        "left": _number(remains(iqr) if finite else None),
        "fall": _number(steepest(iqr) if finite else None),
        "most": _number(loss.max() / np.log(config["outputs"]) if finite else None),
        "loss_ratio": _number(found["outcome"].statistic),
        "roughness": _number(found["envelope"].statistic),
        "alarms": " ".join(alarm.name for alarm in alarms),
        "setback": _number(back.size if back else None),
        "blamed": _number(max((one.size for one in blamed if one), default=None)),
        "eye": _number(eye(q05[bound.burn :]) if finite else None),
        "spikes": _number(spike_score(loss) if finite else None),
        "kpss": _number(stationarity(q05) if finite else None),
        "fell": fell(loss, analysis.chance_loss(record)),
        "rise_loss": _listed(rises(loss)),
        "low_spread": _listed(falls(iqr)),
        "low_gradient": _listed(falls(gradient)),
    }


def _listed(steps: list[int]) -> str:
    return json.dumps(steps, separators=(",", ":"))


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def rows(out: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows of the runs in `out`."""
    analyzers = [one for one in build_analyzers(create_manager(), {}) if getattr(one, "required", False)]
    for batch_size, optimizer in itertools.product(SEEDS, FAMILIES):
        for found in optiscope.open_grid(out / f"{optimizer}-{batch_size}").runs:
            with optiscope.open_run(found["path"]) as record:
                yield row(record, analyzers)


def main() -> None:
    """Train, read, or do both and print every table."""
    parser = argparse.ArgumentParser(description="a sweep of CNN runs across divergence")
    parser.add_argument("do", choices=("run", "read", "all"))
    parser.add_argument("out", type=Path)
    parser.add_argument("table", type=Path, nargs="?")
    parser.add_argument("--jobs", type=int)
    options = parser.parse_args()
    if options.do != "run" and options.table is None:
        parser.error(f"'{options.do}' needs a table to write: name a CSV file after the folder")
    if options.do != "read":
        run(options.out, options.jobs)
    if options.do != "run":
        found = list(rows(options.out))
        with options.table.open("w", newline="") as file:
            writer = csv.DictWriter(file, fieldnames=list(found[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(found)
    for script in ("limits.py", "trust.py", "early.py") if options.do == "all" else ():
        subprocess.run([sys.executable, Path(__file__).with_name(script), options.table], check=True)


if __name__ == "__main__":
    main()
