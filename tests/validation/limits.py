"""Fit the limits of the rules on whole runs, on the part "fit" of a sweep: `trust.py` judges them on the rest.

    uv run python tests/validation/limits.py docs/measured/sweep.csv

Prints what belongs into src/optiscope/analysis/thresholds.py. What is fitted, and to what:

    collapse     between what is left of the spread in failed runs and in trained ones: the middle, in logarithms, of
                 the gap that leaves the fewest of them on the wrong side
    fall         the same for the steepest fall, between the failed and the slow runs with no more left than that
    roughness    the least R, in twentieths, that at most 1 % of the trained runs reach
    harmless     the least setback, in hundredths, that the loss of at most 5 % of the trained runs reaches after the
                 burn-in, whether the signal alarmed or not

The version is a digest of the limits and of the rows that they were fitted on. Limits changed by hand no longer match
it, and a test says so.
"""

from __future__ import annotations

import argparse
import hashlib
import math
from collections.abc import Sequence
from pathlib import Path

import attrs
import numpy as np
from trust import Rows, read

from optiscope.analysis.thresholds import Limits

USED = ("optimizer", "batch_size", "lr", "seed", "truth", "left", "fall", "roughness", "setback")
DIGITS = 2


def between(low: Sequence[float], high: Sequence[float]) -> float:
    """Return the middle, in logarithms, of the gap that leaves the fewest of `low` above and of `high` below it.

    Of several such gaps it is the widest. Values are above zero.
    """
    values = np.log(np.sort(np.unique([*low, *high])))
    if values.size < 2:
        raise ValueError("there is nothing to separate: the table needs runs of both kinds")
    middles, widths = (values[1:] + values[:-1]) / 2, np.diff(values)
    wrong = [np.sum(np.log(low) > middle) + np.sum(np.log(high) < middle) for middle in middles]
    best = min(range(len(wrong)), key=lambda at: (wrong[at], -widths[at]))
    return float(np.exp(middles[best]))


def beyond(values: Sequence[float], share: float, unit: float) -> float:
    """Return the least multiple of `unit` that at most `share` of `values` reach."""
    ordered = np.sort([value for value in values if not math.isnan(value)])
    allowed = math.floor(share * ordered.size)
    return float(unit * (math.floor(ordered[-1 - allowed] / unit) + 1))


def fit(rows: Rows) -> Limits:
    """Return the limits that the rows of the part "fit" have for an answer."""
    rows = fitted_on(rows)
    failed, trained, slow = ([row for row in rows if row["truth"] == truth] for truth in ("failed", "trained", "slow"))
    collapse = between([max(row["left"], 1e-9) for row in failed], [row["left"] for row in trained])
    fall = between(
        [row["fall"] for row in slow if row["left"] <= collapse],
        [min(row["fall"], 1e9) for row in failed if row["left"] <= collapse],
    )
    limits = Limits(
        version="",
        collapse=_rounded(collapse),
        fall=_rounded(fall),
        roughness=round(beyond([row["roughness"] for row in trained], 0.01, 0.05), 2),
        harmless=round(beyond([row["setback"] for row in trained], 0.05, 0.01), 2),
    )
    return attrs.evolve(limits, version=digest(limits, rows))


def fitted_on(rows: Rows) -> Rows:
    """Return the rows that limits are fitted on: finite runs of the part "fit"."""
    return [row for row in rows if row["part"] == "fit" and row["finite"]]


def digest(limits: Limits, rows: Rows) -> str:
    """Return the version of limits that were fitted on the rows of a table."""
    constants = attrs.asdict(limits, filter=lambda field, _: field.name != "version")
    basis = (sorted(constants.items()), [tuple(row[name] for name in USED) for row in fitted_on(rows)])
    return f"fitted-{hashlib.sha256(repr(basis).encode()).hexdigest()[:8]}"


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")


def main() -> None:
    """Print the limits."""
    parser = argparse.ArgumentParser(description="fit the limits of the rules on whole runs")
    parser.add_argument("table", type=Path)
    for name, value in attrs.asdict(fit(read(parser.parse_args().table))).items():
        print(f"    {name}={value!r},".replace("'", '"'))


if __name__ == "__main__":
    main()
