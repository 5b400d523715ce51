"""The constants in the source are those of the fit: by its digest, and by a fit in small."""

import sys
from pathlib import Path

import attrs
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

import fit
import series

from optiscope.analysis.thresholds import FITTED


def test_the_version_is_the_digest_of_the_constants_and_of_what_they_were_fitted_on(monkeypatch):
    assert FITTED.version == fit.digest(FITTED)
    assert fit.digest(attrs.evolve(FITTED, tail_stretch=FITTED.tail_stretch + 0.1)) != FITTED.version
    assert fit.digest(FITTED, seed=fit.SEED + 1) != FITTED.version
    monkeypatch.setitem(fit.SMALLEST, "D", "shift of 3")
    assert fit.digest(FITTED) != FITTED.version


def test_a_fit_in_small_comes_near():
    assert fit.stretch(1000, np.random.default_rng(1)) <= FITTED.tail_stretch + 0.3
    for name, expected in {"V": np.log(2) / 2, "D": 2.0, "P": 0.9}.items():
        found = fit.effect(name, 160, np.random.default_rng(2))  # the least of four: above what 99 of 100 reach
        assert FITTED.least[name] <= found <= 1.2 * expected


def test_too_few_trials_say_so():
    with pytest.raises(ValueError, match="take more trials"):
        fit.stretch(8, np.random.default_rng(0))


def test_nothing_is_measured_on_what_was_fitted_on():
    fitted, held = list(series.FITTED_ON.values()), list(series.HELD_OUT.values())
    assert not [family for family in held if family in fitted]


@pytest.mark.parametrize("name", [*series.FITTED_ON, *series.HELD_OUT])
def test_every_family_has_a_standard_deviation_of_one(name):
    family = {**series.FITTED_ON, **series.HELD_OUT}[name]
    rng = np.random.default_rng(0)
    assert np.std([family(rng) for _ in range(30)]) == pytest.approx(1, rel=0.15)
