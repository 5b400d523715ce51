"""What the verdicts are worth on the runs of a sweep: the tables of docs/labels.md.

    uv run python tests/validation/trust.py docs/measured/sweep.csv

The table is what `sweep.py read` wrote; everything here follows from it within seconds, and is seeded. **Truth** is the
loss on a fixed subset of the training images alone: a run

    failed    ended with a number that is not finite, or with a loss on the subset of 0.9 log K or more
    is slow   if it did so because its learning rate is too small: runs of the same seed trained at larger ones only
    trained   else

The **score** is how much the signal alone speaks for a failure: the probability of a logistic regression on the margin
by which the rule on collapses holds, the least of log(limit / what is left of the spread) and four times log(steepest
fall / limit), between -2 and 2. It is fitted on the part "fit" and judged on the others. A run whose signal is not
finite has the score 1. Intervals are bootstraps over cells (optimizer, batch size, learning rate):
runs of a cell differ in their seeds alone, and are no independent cases.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from optiscope.analysis.thresholds import LIMITS

Floats = np.ndarray[Any, np.dtype[np.float64]]
Row = dict[str, Any]
Rows = Sequence[Row]

FAILED = 0.9
REPLICATES = 1000
STEEP, MARGIN = 4.0, 2.0
SURE = 0.9
"""A run is called failed from this score on, trained below 1 less it, and is left undecided between."""

NEAR = 2.0
"""Cells within this factor of the learning rate at which half of the runs fail are near the boundary."""

WORDS = ("optimizer", "part", "verdict", "outcome", "signal", "alarms", "short")


def read(path: Path) -> list[Row]:
    """Return the rows: numbers as floats (nan where there is none), ladders as integer arrays, words as they are."""
    with path.open(newline="") as file:
        rows = [{name: _value(name, text) for name, text in row.items()} for row in csv.DictReader(file)]
    for row in rows:
        row["truth"] = _truth(row, rows)
    return rows


def _value(name: str, text: str) -> Any:
    if name in WORDS:
        return text
    return np.array(json.loads(text)) if text.startswith("[") else float(text or "nan")


def _ended_high(row: Row) -> bool:
    return not row["finite"] or row["subset_last"] >= FAILED


def _truth(row: Row, rows: Rows) -> str:
    if not _ended_high(row):
        return "trained"
    same = ("optimizer", "batch_size", "seed")
    alike = [other for other in rows if all(other[name] == row[name] for name in same)]
    trained = [other["lr"] for other in alike if not _ended_high(other)]
    return "slow" if row["finite"] and trained and row["lr"] < min(trained) else "failed"


def cell(row: Row) -> tuple[Any, ...]:
    """Return what the runs of a cell have in common."""
    return row["optimizer"], row["batch_size"], row["lr"]


def cells(rows: Rows) -> list[list[Row]]:
    """Return the runs of each cell."""
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(cell(row), []).append(row)
    return list(groups.values())


def interval(rows: Rows, figure: Callable[[Rows], float], seed: int = 0, digits: int = 3) -> str:
    """Return a figure of `rows` in words, with its 95 % bootstrap interval over cells."""
    groups, rng = cells(rows), np.random.default_rng(seed)
    drawn = [
        figure([row for number in rng.integers(0, len(groups), len(groups)) for row in groups[number]])
        for _ in range(REPLICATES)
    ]
    drawn = [one for one in drawn if not math.isnan(one)]
    low, high = np.quantile(drawn, (0.025, 0.975)) if drawn else (math.nan, math.nan)
    return f"{figure(rows):.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def share(rows: Rows, found: Callable[[Row], bool], of: Callable[[Row], bool] = lambda row: True) -> float:
    """Return which share of those runs that are `of` interest are `found`; nan without any."""
    looked = [found(row) for row in rows if of(row)]
    return float(np.mean(looked)) if looked else math.nan


def auc(rows: Rows, score: Callable[[Row], float]) -> float:
    """Return the chance that a failed run scores higher than another, ties counted half; nan without both."""
    ours = np.array([score(row) for row in rows if row["truth"] == "failed"])
    others = np.array([score(row) for row in rows if row["truth"] != "failed"])
    if not (ours.size and others.size):
        return math.nan
    return float(np.mean((ours[:, None] > others) + 0.5 * (ours[:, None] == others)))


def ece(p: Floats, failed: Floats, bins: int = 10) -> float:
    """Return the expected calibration error: over runs, the mean distance of a bin's mean p from its failures."""
    where = np.minimum((p * bins).astype(int), bins - 1)
    parts = [where == number for number in range(bins)]
    return float(sum(abs(p[part].sum() - failed[part].sum()) for part in parts) / p.size)


def features(row: Row) -> Floats:
    """Return what the signal says of a run, [2]: a one, and the margin by which the rule on collapses holds."""
    left, fall = (math.log(min(max(row[name], 1e-9), 1e9)) for name in ("left", "fall"))
    margin = min(math.log(LIMITS.collapse) - left, STEEP * (fall - math.log(LIMITS.fall)))
    return np.array([1.0, min(max(margin, -MARGIN), MARGIN)])


def fit(rows: Rows) -> Floats:
    """Return the weights [2] of a logistic regression of failure on the features, with a small ridge."""
    rows = [row for row in rows if row["finite"]]
    x, failed = np.array([features(row) for row in rows]), np.array([row["truth"] == "failed" for row in rows], float)
    weights, ridge = np.zeros(x.shape[1]), 0.1 * np.diag([0.0, 1.0])
    for _ in range(50):
        p = 1 / (1 + np.exp(-np.clip(x @ weights, -30, 30)))
        gradient = x.T @ (p - failed) + ridge @ weights
        weights = weights - np.linalg.solve((x * (p * (1 - p))[:, None]).T @ x + ridge, gradient)
    return weights


def scored(rows: Rows, weights: Floats) -> list[Row]:
    """Return the rows with their `score`, the probability of failure from the signal alone."""
    return [
        row | {"score": 1 / (1 + math.exp(-float(np.clip(features(row) @ weights, -30, 30)))) if row["finite"] else 1.0}
        for row in rows
    ]


def sure(row: Row) -> bool:
    """Say whether the score decides a run."""
    return bool(row["score"] >= SURE or row["score"] <= 1 - SURE)


def others(row: Row, rows: Rows) -> float:
    """Return what the verdicts on the other decided runs of a run's cell say of it: the mean of Jeffreys' posterior."""
    verdicts = [other["verdict"] for other in rows if cell(other) == cell(row) and other["seed"] != row["seed"]]
    return (verdicts.count("unstable") + 0.5) / (len(verdicts) - verdicts.count("undecided") + 1)


def boundaries(rows: Rows) -> dict[tuple[str, float], float]:
    """Return, of each optimizer at each batch size, the lr between the last cell that mostly trains and the next."""
    found: dict[tuple[str, float], float] = {}
    for key in {(row["optimizer"], row["batch_size"]) for row in rows}:
        mine = sorted(
            (group for group in cells(rows) if (group[0]["optimizer"], group[0]["batch_size"]) == key),
            key=lambda group: float(group[0]["lr"]),
        )
        failing = [group[0]["lr"] for group in mine if share(group, lambda row: row["truth"] == "failed") > 0.5]
        before = [group[0]["lr"] for group in mine if group[0]["lr"] < min(failing, default=math.inf)]
        found[key] = math.sqrt(min(failing, default=before[-1]) * (before[-1] if before else failing[0]))
    return found


def far(row: Row, limits: dict[tuple[str, float], float]) -> bool:
    """Say whether a run lies far from the boundary."""
    return abs(math.log(row["lr"] / limits[row["optimizer"], row["batch_size"]])) > math.log(NEAR)


def table(header: Sequence[str], rows: Iterator[Sequence[Any]]) -> str:
    """Return a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines) + "\n"


def verdicts(rows: Rows) -> Iterator[Sequence[Any]]:
    """Yield, for each part and truth, how many runs have which verdict."""
    for part in ("fit", "seeds", "families", "batch"):
        for truth in ("trained", "slow", "failed"):
            found = Counter(row["verdict"] for row in rows if (row["part"], row["truth"]) == (part, truth))
            yield part, truth, *(found[verdict] for verdict in ("stable", "unstable", "undecided"))


def targets(rows: Rows, limits: dict[tuple[str, float], float]) -> Iterator[Sequence[Any]]:
    """Yield the targets, each with its figure on what was not fitted on."""
    held = [row for row in rows if row["part"] != "fit"]

    def unstable(row: Row) -> bool:
        return bool(row["verdict"] == "unstable")

    def failed(row: Row) -> bool:
        return bool(row["truth"] == "failed")

    def open_(row: Row) -> bool:
        return bool(row["verdict"] == "undecided")

    def called(row: Row) -> bool:
        return sure(row) and row["score"] > 0.5

    yield (
        "failure from the signal alone: AUC",
        ">= 0.97",
        interval(held, lambda rows: auc(rows, lambda row: row["score"])),
    )
    yield (
        "precision of the score where it decides",
        ">= 0.95",
        interval(held, lambda rows: share(rows, failed, called)),
    )
    yield (
        "recall of the score where it decides",
        ">= 0.95",
        interval(held, lambda rows: share(rows, called, lambda row: failed(row) and sure(row))),
    )
    yield "left open by the score", "", interval(held, lambda rows: share(rows, lambda row: not sure(row)))
    yield (
        "calibration of the score: ECE",
        "<= 0.05",
        interval(
            held, lambda rows: ece(np.array([row["score"] for row in rows]), np.array([failed(r) for r in rows], float))
        ),
    )
    yield (
        "calibration of P(unstable), from the verdicts on the other seeds of the cell: ECE",
        "<= 0.05",
        interval(
            [row | {"told": others(row, rows)} for row in held if row["truth"] != "slow"],
            lambda rows: ece(np.array([row["told"] for row in rows]), np.array([failed(r) for r in rows], float)),
        ),
    )
    yield "precision of the verdict unstable", ">= 0.95", interval(held, lambda rows: share(rows, failed, unstable))
    yield (
        "recall of the verdict, where it decides",
        ">= 0.95",
        interval(held, lambda rows: share(rows, unstable, lambda row: failed(row) and not open_(row))),
    )
    yield (
        "trained runs called unstable",
        "<= 0.07",
        interval(held, lambda rows: share(rows, unstable, lambda row: row["truth"] == "trained")),
    )
    yield "undecided", "<= 0.20", interval(held, lambda rows: share(rows, open_))
    yield (
        f"undecided, farther than a factor of {NEAR:g} from the boundary, slow runs left out",
        "<= 0.05",
        interval(held, lambda rows: share(rows, open_, lambda row: far(row, limits) and row["truth"] != "slow")),
    )


SCORES: dict[str, Callable[[Row], float]] = {
    "score of the signal": lambda row: row["score"],
    "roughness R": lambda row: _or(row["roughness"], row),
    "eye: std / abs(mean) of the lower bound": lambda row: _or(row["eye"], row),
    "spike score of the loss": lambda row: _or(row["spikes"], row),
    "KPSS of the lower bound": lambda row: _or(row["kpss"], row),
    "numbers that are not finite": lambda row: 1.0 - row["finite"],
}
"""What speaks for a failure, ours first: the larger, the more. A run that is not finite failed by any."""


def _or(value: float, row: Row) -> float:
    return (0.0 if math.isnan(value) else value) if row["finite"] else math.inf


def traps(rows: Rows) -> Iterator[Sequence[Any]]:
    """Yield what was said of the runs that are made to mislead."""
    kinds: dict[str, tuple[Callable[[Row], bool], str, Callable[[Row], str]]] = {
        "dead network: failed, all numbers finite": (
            lambda row: row["truth"] == "failed" and row["finite"] > 0,
            "not stable",
            lambda row: row["verdict"],
        ),
        "catapult: trained, its loss had reached twice log K": (
            lambda row: row["truth"] == "trained" and row["most"] >= 2,
            "not unstable",
            lambda row: row["verdict"],
        ),
        "learning rate too small": (lambda row: row["truth"] == "slow", "not unstable", lambda row: row["verdict"]),
        "short record of a run that trained": (
            lambda row: row["truth"] == "trained" and row["short"] != "",
            "not unstable",
            lambda row: row["short"],
        ),
        "short record of a run that failed": (
            lambda row: row["truth"] == "failed" and row["short"] != "",
            "not stable",
            lambda row: row["short"],
        ),
    }
    for name, (is_one, wanted, said) in kinds.items():
        found = Counter(said(row) for row in rows if is_one(row))
        yield name, wanted, *(found[verdict] for verdict in ("stable", "unstable", "undecided"))


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description="what the verdicts are worth on the runs of a sweep")
    parser.add_argument("table", type=Path)
    rows = read(parser.parse_args().table)
    weights = fit([row for row in rows if row["part"] == "fit"])
    rows = scored(rows, weights)
    print(f"{len(rows)} runs in {len(cells(rows))} cells; score: {', '.join(f'{weight:.3g}' for weight in weights)}\n")
    print(table(["part", "truth", "stable", "unstable", "undecided"], verdicts(rows)))
    print(table(["figure", "target", "held out"], targets(rows, boundaries(rows))))
    held = [row for row in rows if row["part"] != "fit"]
    aucs = ((name, interval(held, lambda some, of=of: auc(some, of))) for name, of in SCORES.items())
    print(table(["what speaks for a failure", "AUC"], aucs))
    print(table(["trap", "should be", "stable", "unstable", "undecided"], traps(rows)))


if __name__ == "__main__":
    main()
