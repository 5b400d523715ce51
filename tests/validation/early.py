"""Early warning: what tells a run that fails before its loss does, and what stopping there would save.

    uv run --group oracle python tests/validation/early.py docs/measured/sweep.csv

A warning is a threshold, and the first step at which it is crossed:

    deadline       the loss has not come below 0.9 of that of a network that knows nothing by that step: what one sees
                   without looking at anything else
    rise           the loss exceeds its median over the 20 steps before by a factor
    spread         the median over 20 steps of the spread of the logits (IQR) comes down to a level
    gradient       the same of the norm of the whole gradient

Each threshold is the one that at most 5 % of the trained runs of the part "fit" cross, so that all have the same false
alarms there; what is told is measured on the other parts. *Lead* is how many steps a warning comes before the deadline,
in the failed runs that it catches. *Saved* is the share of the steps of failed runs that stopping at the warning would
have saved, *lost* the share of the trained runs that it would have stopped.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import attrs
import numpy as np
from trust import Row, Rows, interval, read, share, table

from sweep import LEVELS, RISES

FALSE_ALARMS = 0.05
Warns = Callable[[Row, int], int]


@attrs.frozen
class Threshold:
    """`at` gives the step at which the threshold of a number warns of a run, 0 where it does not; `told` its name."""

    name: str
    at: Warns
    thresholds: Sequence[int]
    told: Callable[[int], str]


def _deadline(row: Row, step: int) -> int:
    in_time = 0 < row["fell"] <= step
    return 0 if in_time or row["steps"] < step else step


def _ladder(column: str) -> Warns:
    return lambda row, number: int(row[column][number])


def thresholds_for(steps: int) -> tuple[Threshold, ...]:
    """Return the warnings for runs of so many steps, each with its thresholds from the most to the least cautious."""
    numbers = range(len(RISES) - 1, -1, -1)
    return (
        Threshold("deadline", _deadline, range(steps, 0, -1), lambda step: f"by step {step}"),
        Threshold("rise of the loss", _ladder("rise_loss"), numbers, lambda number: f"{RISES[number]:.3g} times"),
        Threshold("low spread", _ladder("low_spread"), numbers, lambda number: f"{LEVELS[number]:.2g} logits"),
        Threshold("low gradient", _ladder("low_gradient"), numbers, lambda number: f"{LEVELS[number]:.2g}"),
    )


def fit(warning: Threshold, rows: Rows) -> int:
    """Return the least cautious threshold that at most 5 % of the trained runs of `rows` cross."""
    trained = [row for row in rows if row["truth"] == "trained"]
    best = warning.thresholds[0]
    for threshold in warning.thresholds:
        if share(trained, lambda row, threshold=threshold: warning.at(row, threshold) > 0) > FALSE_ALARMS:
            break
        best = threshold
    return best


def middle(values: Sequence[float]) -> float:
    """Return the median; nan without values."""
    return float(np.median(values)) if values else math.nan


def told(rows: Rows) -> Iterator[Sequence[str]]:
    """Yield what each warning tells on the runs that nothing was fitted on."""
    fitted, held = ([row for row in rows if (row["part"] == "fit") == of] for of in (True, False))
    found = thresholds_for(int(max(row["steps"] for row in rows)))
    thresholds = [fit(warning, fitted) for warning in found]
    for warning, threshold in zip(found, thresholds, strict=True):
        yield warning.name, warning.told(threshold), *_line(held, warning, threshold, deadline=thresholds[0])


def _line(held: Rows, warning: Threshold, threshold: int, deadline: int) -> Iterator[str]:
    planned = max(row["steps"] for row in held)

    def at(row: Row) -> int:
        return warning.at(row, threshold)

    def failed(row: Row) -> bool:
        return bool(row["truth"] == "failed")

    def caught(some: Rows) -> list[int]:
        return [at(row) for row in some if failed(row) and at(row)]

    def saved(some: Rows) -> float:
        ends = [at(row) or row["steps"] for row in some if failed(row)]
        return 1 - float(np.mean(ends)) / planned if ends else math.nan

    yield interval(held, lambda some: share(some, lambda row: at(row) > 0, failed))
    yield interval(held, lambda some: middle(caught(some)), digits=0)
    yield interval(held, lambda some: middle([deadline - step for step in caught(some)]), digits=0)
    yield interval(held, saved)
    for truth in ("trained", "slow"):
        yield f"{share(held, lambda row: at(row) > 0, lambda row, truth=truth: row['truth'] == truth):.3f}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="what tells a run that fails before its loss does")
    parser.add_argument("table", type=Path)
    header = [
        "warning",
        "threshold",
        "failed runs caught",
        "at step (median)",
        "lead (median)",
        "saved",
        "lost",
        "slow",
    ]
    print(table(header, told(read(parser.parse_args().table))))


if __name__ == "__main__":
    main()
