"""How often the four tests of a series are wrong: false alarms, power beside its ceiling, and ROC beside baselines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cache

import attrs
import numpy as np
from baselines import BASELINES, auc, ceiling
from series import BURN, FAULTS, HELD_OUT, STEPS, Family, Floats, drifting

from optiscope.analysis import burn_in, detectors, holm, jeffreys
from optiscope.analysis.detectors import LEVEL, NAMES
from optiscope.analysis.thresholds import FITTED

PHIS = (0.0, 0.5, 0.9)
NORMAL: Mapping[float, Family] = {phi: Family(a=(phi,) if phi else ()) for phi in PHIS}


@attrs.frozen
class Row:
    """What the four tests say of one series, by their letters: p-values, effects, statistics over their limits."""

    p_values: Mapping[str, float]
    effects: Mapping[str, float]
    scores: Mapping[str, float]

    def alarms(self) -> set[str]:
        """Return the tests that alarm, at 5 % together."""
        levels = holm(self.p_values, LEVEL)
        return {
            name
            for name, p_value in self.p_values.items()
            if p_value <= levels[name] and self.effects[name] >= FITTED.least[name]
        }


def row(values: Floats, burn: int = BURN) -> Row:
    """Put a series to the four tests."""
    found = detectors(values, burn)
    assert found is not None
    tests = [found.test(name) for name in NAMES]
    return Row(
        {test.name: test.p_value for test in tests},
        {test.name: test.effect for test in tests},
        {test.name: test.statistic / test.limit(LEVEL / len(NAMES)) for test in tests},
    )


def counted(rows: Sequence[Row]) -> Counter[str]:
    """Return how often each test alarmed, and "any" of them."""
    counts = Counter(dict.fromkeys((*NAMES, "any"), 0))
    for one in rows:
        found = one.alarms()
        counts.update(found | ({"any"} if found else set()))
    return counts


def false_alarms(trials: int, seed: int, families: Mapping[str, Family]) -> dict[str, Counter[str]]:
    """Return how often each test alarmed on healthy series, by family."""
    rng = np.random.default_rng((seed, 1))
    return {name: counted([row(drifting(family(rng))) for _ in range(trials)]) for name, family in families.items()}


@cache
def quiet(phi: float, trials: int, seed: int) -> tuple[list[Row], dict[str, list[float]]]:
    """Return what the tests, and the baselines, say of healthy normal noise of `phi`."""
    rng = np.random.default_rng((seed, 2))
    series = [drifting(NORMAL[phi](rng)) for _ in range(trials)]
    return [row(values) for values in series], {name: list(map(score, series)) for name, score in BASELINES.items()}


def power(fault: str, phi: float, trials: int, seed: int) -> tuple[int, int, dict[str, float]]:
    """Return how often a fault's own test and any found it in normal noise of `phi`, and the AUC of every score."""
    own, put_in = FAULTS[fault]
    rng = np.random.default_rng((seed, 3))
    series = [drifting(put_in(NORMAL[phi](rng))) for _ in range(trials)]
    rows, (healthy, scores) = [row(values) for values in series], quiet(phi, trials, seed)
    areas = {"ours": auc([one.scores[own] for one in healthy], [one.scores[own] for one in rows])}
    for name, score in BASELINES.items():
        areas[name] = auc(scores[name], list(map(score, series)))
    found = [one.alarms() for one in rows]
    return sum(own in one for one in found), sum(map(bool, found)), areas


def tables(trials: int, seed: int) -> Iterator[str]:
    """Yield the lines of the tables of `trials` series a cell."""
    assert burn_in(STEPS, BURN) == BURN
    yield f"False alarms of {trials} healthy series of each family that nothing was fitted on:\n"
    yield "| noise | spike X | variance V | level D | period-2 P | any |\n| --- | --- | --- | --- | --- | --- |"
    for name, counts in false_alarms(trials, seed, HELD_OUT).items():
        low, high = jeffreys(counts["any"], trials)
        shares = " | ".join(f"{counts[letter] / trials:.3f}" for letter in NAMES)
        yield f"| {name} | {shares} | {counts['any'] / trials:.3f} ({low:.3f} to {high:.3f}) |"
    found = {(fault, phi): power(fault, phi, trials, seed) for fault in FAULTS for phi in PHIS}
    heads = " | ".join(f"phi {phi:g}" for phi in PHIS)
    yield f"\nFaults found by their own test (by any), of {trials}, and the ceiling at 5 % for the own test:\n"
    yield f"| fault | test | {heads} |\n|" + " --- |" * (len(PHIS) + 2)
    for fault, (name, _) in FAULTS.items():
        cells = (
            f"{own / trials:.2f} ({every / trials:.2f}), {ceiling(fault, phi, LEVEL, 2000, seed):.2f}"
            for phi in PHIS
            for own, every, _ in [found[fault, phi]]
        )
        yield f"| {fault} | {name} | " + " | ".join(cells) + " |"
    scores = ["ours", *BASELINES]
    yield f"\nArea under the ROC curve of {trials} healthy and {trials} faulty series, at each phi in turn:\n"
    yield "| fault | " + " | ".join(scores) + " |\n|" + " --- |" * (len(scores) + 1)
    for fault in FAULTS:
        cells = (" / ".join(f"{found[fault, phi][2][score]:.2f}" for phi in PHIS) for score in scores)
        yield f"| {fault} | " + " | ".join(cells) + " |"
