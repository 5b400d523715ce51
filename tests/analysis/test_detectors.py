"""The four tests, and their family. How often they are right is measured in tests/validation."""

import numpy as np
import pytest

from optiscope.analysis import detect, detectors, holm, measure
from optiscope.analysis.detectors import NAMES
from optiscope.analysis.noise import Noise
from optiscope.analysis.robust import swing

FAULT = {"X": "spike", "V": "noise", "D": "step", "P": "oscillation"}


@pytest.mark.parametrize("phi", [0.0, 0.5])
@pytest.mark.parametrize("name", NAMES)
def test_each_fault_is_found_by_its_own_detector(ar1, faults, name, phi):
    values = faults[FAULT[name]](ar1(400, phi, np.random.default_rng(1)), 8 if name == "X" else 4)
    found = detect(values, 100, name, "loss")
    assert (found.name, found.result) == (NAMES[name], "alarm")
    assert found.statistic > found.threshold
    assert found.p_value <= 0.05
    assert (found.steps, found.first_step) == ((101, 400), found.alarms[0].steps[0])
    assert found.why.startswith("the loss ")


@pytest.mark.parametrize("name", NAMES)
def test_healthy_noise_passes(ar1, name):
    found = detect(ar1(400, 0.3, np.random.default_rng(2)) - np.log(np.arange(1, 401)), 100, name, "loss")
    assert (found.result, found.alarms, found.first_step) == ("pass", (), None)


def test_a_spike_is_where_it_is(ar1, faults):
    assert detect(faults["spike"](ar1(400, 0, np.random.default_rng(3)), 9), 100, "X", "loss").first_step == 281


def test_an_oscillation_that_was_always_there_or_dies_down_is_none(ar1, faults):
    alternating = (-1.0) ** np.arange(400)
    noise = ar1(400, 0, np.random.default_rng(4))
    assert detect(noise + 2 * alternating, 100, "P", "loss").result == "pass"
    assert detect(faults["oscillation"](noise, 4)[::-1], 0, "P", "loss").result == "pass"


def test_the_swing_is_what_theory_says():
    rng = np.random.default_rng(5)
    noise, to_and_fro = rng.standard_normal(100_000), (-1.0) ** np.arange(100_000)
    assert np.tanh(swing(to_and_fro)) == pytest.approx(-1, abs=1e-4)
    assert np.tanh(swing(noise)) == pytest.approx(-1 / 2, abs=0.01)
    assert np.tanh(swing(noise + to_and_fro)) == pytest.approx(-5 / 6, abs=0.01)
    assert swing(np.zeros(10)) == 0


@pytest.mark.parametrize(
    ("p_values", "levels"),
    [
        ({"a": 0.01, "b": 0.02, "c": 0.04}, {"a": 0.05 / 3, "b": 0.05 / 2, "c": 0.05}),
        ({"a": 0.03, "b": 0.02, "c": 0.01}, {"c": 0.05 / 3, "b": 0.05 / 2, "a": 0.05}),
        ({"a": 0.02, "b": 0.021, "c": 0.04}, {"a": 0.05 / 3, "b": 0.05 / 3, "c": 0.05 / 3}),
        ({"a": 0.01, "b": 0.03, "c": 0.04}, {"a": 0.05 / 3, "b": 0.05 / 2, "c": 0.05 / 2}),
    ],
)
def test_holm_stops_at_the_first_that_is_not_small_enough(p_values, levels):
    assert holm(p_values, 0.05) == pytest.approx(levels)


def test_an_alarm_takes_the_others_into_account(ar1, faults):
    """A p-value between 0.05 / 4 and 0.05 alarms only where enough smaller ones do."""
    rng, seen = np.random.default_rng(6), 0
    for _ in range(14):
        values = faults["noise"](ar1(400, 0, rng), 1.35)
        found = {name: detect(values, 100, name, "loss") for name in NAMES}
        tests = detectors(values, 100)
        levels = holm({name: tests.test(name).p_value for name in NAMES}, 0.05)
        for name, one in found.items():
            alarm = one.p_value <= levels[name] and tests.test(name).matters
            assert one.result == ("alarm" if alarm else "pass")
            seen += 0.05 / 4 < one.p_value <= 0.05
    assert seen


def test_the_rules_on_one_series_share_their_tests(ar1, monkeypatch):
    """Two kinds of noise are drawn for it: for what is rough, and for its level."""
    drawn = []

    def draw(self, size, count, rng, draw=Noise.draw):
        drawn.append(size)
        return draw(self, size, count, rng)

    monkeypatch.setattr(Noise, "draw", draw)
    values = ar1(400, 0.3, np.random.default_rng(16))
    for _ in range(2):
        measure(values.copy(), 100)
        for name in NAMES:
            detect(values.copy(), 100, name, "loss")
    assert len(drawn) == 2


def test_a_series_that_has_changed_is_judged_anew(ar1, faults):
    values = ar1(400, 0, np.random.default_rng(17))
    assert detect(values, 100, "X", "loss").result == "pass"
    values[:] = faults["spike"](values, 9)
    assert detect(values, 100, "X", "loss").result == "alarm"
    assert (detectors(values, 100).size, detectors(values, 150).size) == (300, 250)


def test_what_is_significant_and_small_passes_and_says_so(ar1):
    bend = ar1(400, 0, np.random.default_rng(15)) + 0.8 * np.cos(2 * np.pi * np.arange(1, 401) / 400)
    found = detect(bend, 100, "D", "loss")
    assert found.result == "pass"
    assert found.p_value <= 0.05 / 4
    assert found.why.endswith("too small an effect to matter")


@pytest.mark.parametrize(
    ("n", "why"), [(250, "150 finite steps of the loss after a burn-in of 100 are too few"), (0, "0")]
)
def test_a_short_series_is_undecided(ar1, n, why):
    found = detect(ar1(400, 0, np.random.default_rng(7))[:n], 100, "X", "loss")
    assert found.result == "undecided"
    assert why in found.why


def test_what_does_not_vary_is_undecided_and_what_is_no_number_is_not_used(ar1):
    assert "does not vary" in detect(np.ones(400), 100, "D", "loss").why
    values = ar1(400, 0, np.random.default_rng(8))
    values[350:] = np.nan
    assert detect(values, 100, "V", "loss").steps == (101, 350)
