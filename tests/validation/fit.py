"""Fit the constants of the four tests, on noise and seeds that calibration.py does not measure on.

    uv run python tests/validation/fit.py [--trials N] [--seed N]

Prints what belongs into src/optiscope/analysis/thresholds.py; with the default of 4000 trials it takes a minute or
two on one core. What is fitted, and to what:

    tail_stretch    the least with which X alone alarms on at most 5 % of healthy series of any distribution
    least           the largest effect, in twentieths, that 99 % of the smallest faults to be found have

The version is a digest of the constants and of what they were fitted on. Constants changed by hand, or a distribution
that is added without a new fit, no longer match it, and a test says so.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import math
from collections.abc import Mapping

import attrs
import numpy as np
from series import BURN, FAULTS, FITTED_ON, STEPS, Draw, Floats, drifting, laplace, student

from optiscope.analysis import detectors
from optiscope.analysis.detectors import LEVEL, NAMES
from optiscope.analysis.noise import tail_weight
from optiscope.analysis.robust import scale
from optiscope.analysis.thresholds import Thresholds

STRETCHES = (1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.8, 2.0)
DISTRIBUTIONS: Mapping[str, Draw] = {
    "Student's t 5": student(5),
    "Student's t 10": student(10),
    "Laplace": laplace,
}
SMALLEST = {"V": "noise 1.41 times as large", "D": "shift of 2", "P": "period 2 growing to 2"}
"""The faults that must be found: a doubled variance, and two standard deviations."""

TRIALS, SEED = 4000, 1
WEIGHTS = np.linspace(0, 1, 51)


def largest(x: Floats) -> Floats:
    """Return the largest value of each series, [B, T], in standard deviations."""
    return np.asarray(np.max(np.abs(x), axis=-1) / scale(x))


def stretch(trials: int, rng: np.random.Generator) -> float:
    """Return the least stretch with which at most 5 % of healthy white series of any distribution alarm by X."""
    size = (trials, STEPS - BURN)
    g = rng.standard_normal(size)
    limits = [np.quantile(largest(g * np.exp(h / 2 * g**2)), 1 - LEVEL / len(NAMES)) for h in WEIGHTS]
    series = [draw(rng, size) for draw in DISTRIBUTIONS.values()]
    judged = [(largest(x), np.array([tail_weight(one) for one in x])) for x in series]

    def holds(stretch: float) -> bool:
        """Return whether no distribution alarms too often."""
        alarms = (most > np.interp(stretch * weights, WEIGHTS, limits) for most, weights in judged)
        return max(float(np.mean(found)) for found in alarms) <= LEVEL

    found = next(filter(holds, STRETCHES), None)
    if found is None:
        raise ValueError(f"no stretch up to {STRETCHES[-1]} holds the level in {trials} trials: take more trials")
    return found


def effect(name: str, trials: int, rng: np.random.Generator) -> float:
    """Return the effect that all but 1 % of the smallest faults for the test `name` have, in normal noise."""
    put_in = FAULTS[SMALLEST[name]][1]
    effects = []
    for family, _ in itertools.product(FITTED_ON.values(), range(trials // 80)):
        found = detectors(drifting(put_in(family(rng))), BURN)
        assert found is not None
        effects.append(found.test(name).effect)
    return float(np.quantile(effects, 0.01))


def digest(thresholds: Thresholds, trials: int = TRIALS, seed: int = SEED) -> str:
    """Return the version of constants that were fitted with so many trials from that seed."""
    constants = attrs.asdict(thresholds, filter=lambda field, _: field.name != "version")
    basis = (sorted(constants.items()), list(DISTRIBUTIONS), tuple(FITTED_ON), SMALLEST, STRETCHES, trials, seed)
    return f"fitted-{hashlib.sha256(repr(basis).encode()).hexdigest()[:8]}"


def fit(trials: int = TRIALS, seed: int = SEED) -> Thresholds:
    """Return the fitted constants."""
    least = {"X": 0.0}
    for i, name in enumerate(SMALLEST):
        least[name] = math.floor(20 * effect(name, trials, np.random.default_rng((seed, 2, i)))) / 20
    fitted = Thresholds(version="", tail_stretch=stretch(trials, np.random.default_rng((seed, 1))), least=least)
    return attrs.evolve(fitted, version=digest(fitted, trials, seed))


def main() -> None:
    """Print the constants."""
    parser = argparse.ArgumentParser(description="fit the constants of the four tests")
    parser.add_argument("--trials", type=int, default=TRIALS)
    parser.add_argument("--seed", type=int, default=SEED)
    options = parser.parse_args()
    fitted = fit(options.trials, options.seed)
    for name, value in attrs.asdict(fitted).items():
        print(f"    {name}={value!r},".replace("'", '"'), flush=True)


if __name__ == "__main__":
    main()
