"""How often the four tests of a series are wrong: false alarms, power beside its ceiling, and ROC beside baselines."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import attrs
import numpy as np
from series import BURN, FAULTS, HELD_OUT, Family, Floats, drifting

import optiscope
from optiscope.analysis import Detectors, burn_in, detectors, gradient_norm, holm, jeffreys, lower_bound
from optiscope.analysis.detectors import LEVEL, NAMES
from optiscope.analysis.thresholds import FITTED, Thresholds
from optiscope.config import GridConfig

PHIS = (0.0, 0.5, 0.9)
NORMAL: Mapping[float, Family] = {phi: Family(a=(phi,) if phi else ()) for phi in PHIS}


@attrs.frozen
class Row:
    """What the four tests say of one series, by their letters: p-values, effects, statistics over their limits."""

    p_values: Mapping[str, float]
    effects: Mapping[str, float]
    scores: Mapping[str, float]

    def alarms(self, thresholds: Thresholds = FITTED) -> set[str]:
        """Return the tests that alarm, at 5 % together."""
        levels = holm(self.p_values, LEVEL)
        return {
            name
            for name, p_value in self.p_values.items()
            if p_value <= levels[name] and self.effects[name] >= thresholds.least[name]
        }


def row(values: Floats, burn: int = BURN, thresholds: Thresholds = FITTED) -> Row:
    """Put a series to the four tests."""
    found = detectors(values, burn)
    assert found is not None
    tests = [attrs.evolve(found, thresholds=thresholds).test(name) for name in NAMES]
    return Row(
        {test.name: test.p_value for test in tests},
        {test.name: test.effect for test in tests},
        {test.name: test.statistic / test.limit(LEVEL / len(NAMES)) for test in tests},
    )


def healthy(family: Family, trials: int, rng: np.random.Generator, thresholds: Thresholds = FITTED) -> list[Row]:
    """Return what the tests say of healthy series."""
    return [row(drifting(family(rng)), thresholds=thresholds) for _ in range(trials)]


def counted(rows: Sequence[Row], thresholds: Thresholds = FITTED) -> Counter[str]:
    """Return how often each test alarmed, and "any" of them."""
    counts = Counter(dict.fromkeys((*NAMES, "any"), 0))
    for one in rows:
        found = one.alarms(thresholds)
        counts.update(found | ({"any"} if found else set()))
    return counts
