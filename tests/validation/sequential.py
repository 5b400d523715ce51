"""How often a cell that gets its seeds one at a time is called by the wrong word, and how many seeds that takes.

    uv run python tests/validation/sequential.py

Prints the tables of docs/labels.md as Markdown. Nothing is drawn at random: where runs are independent, all that counts
is how many were unstable, stable and undecided so far, and the probability of each of these states follows from those
one seed earlier. The rule is the program's own, `Probability.unsettled`.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from functools import cache

import attrs

from optiscope.analysis import fewest_deciding
from optiscope.labels import Probability

CONFIDENCES = (0.9, 0.95, 0.99)
MOST = 20
SHARES = (0.05, 0.1, 0.2, 0.3, 0.4, 0.45)
"""P(unstable) of cells that are stable in truth; what holds at p for one word holds at 1 - p for the other."""

LOST = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Shares of undecided runs."""


@attrs.frozen(kw_only=True)
class End:
    """How probable each end of a cell is: a verdict, most runs undecided, or no seeds left; and the seeds it takes."""

    stable: float
    unstable: float
    given_up: float
    open: float
    seeds: float


@cache
def said(unstable: int, stable: int, undecided: int, confidence: float) -> str:
    """Return which end so many runs are."""
    p = Probability.of(unstable, unstable + stable, undecided, confidence)
    if p.side != "undecided":
        return p.side
    return "open" if p.unsettled else "given_up"


def end(p: float, confidence: float, most: int = MOST, lost: float = 0.0) -> End:
    """Return how a cell ends whose runs are undecided with probability `lost`, and unstable with `p` of the others."""
    ends, seeds = dict.fromkeys(("stable", "unstable", "given_up", "open"), 0.0), 0.0
    now, first = {(0, 0, 0): 1.0}, fewest_deciding(confidence)
    for spent in range(1, most + 1):
        after: dict[tuple[int, int, int], float] = defaultdict(float)
        for (unstable, stable, undecided), weight in now.items():
            after[unstable + 1, stable, undecided] += weight * (1 - lost) * p
            after[unstable, stable + 1, undecided] += weight * (1 - lost) * (1 - p)
            after[unstable, stable, undecided + 1] += weight * lost
        now = {}
        for state, weight in after.items():
            if weight == 0:
                continue
            how = "open" if spent < first else said(*state, confidence)
            if how == "open" and spent < most:
                now[state] = weight
            else:
                ends[how] += weight
                seeds += spent * weight
    return End(**ends, seeds=seeds)


def once(p: float, confidence: float, trials: int) -> float:
    """Return how probable "unstable" is at P(unstable) = `p` if there is one look, after so many trials."""
    return sum(
        math.comb(trials, k) * p**k * (1 - p) ** (trials - k)
        for k in range(trials + 1)
        if said(k, trials - k, 0, confidence) == "unstable"
    )


def tables() -> Iterator[str]:
    """Yield the lines of the tables."""
    yield "| confidence | P(unstable) | " + " | ".join(f"{p:g}" for p in SHARES) + " |"
    yield "| --- | --- |" + " --- |" * len(SHARES)
    for confidence in CONFIDENCES:
        found = [end(p, confidence) for p in SHARES]
        rows = {
            "wrong side": [f"{each.unstable:.3f}" for each in found],
            f"wrong side, one look at {MOST}": [f"{once(p, confidence, MOST):.3f}" for p in SHARES],
            f"undecided after {MOST}": [f"{each.open:.3f}" for each in found],
            "seeds, expected": [f"{each.seeds:.1f}" for each in found],
        }
        for name, values in rows.items():
            yield f"| {confidence:g} | {name} | " + " | ".join(values) + " |"
    yield ""
    yield "| share of undecided runs | " + " | ".join(f"{lost:g}" for lost in LOST) + " |"
    yield "| --- |" + " --- |" * len(LOST)
    found = [end(0.1, 0.9, lost=lost) for lost in LOST]
    rows = {
        "stable": [f"{each.stable:.3f}" for each in found],
        "undecided, as most runs are": [f"{each.given_up:.3f}" for each in found],
        f"undecided after {MOST}": [f"{each.open:.3f}" for each in found],
        "seeds, expected": [f"{each.seeds:.1f}" for each in found],
    }
    for name, values in rows.items():
        yield f"| {name} | " + " | ".join(values) + " |"


if __name__ == "__main__":
    for line in tables():
        print(line)
