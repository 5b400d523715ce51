"""The envelope against noise that is known to be healthy, and against faults that were put in."""

import os

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from optiscope.analysis import (
    adam_rms,
    burn_in,
    collapse,
    detect,
    dynamics,
    envelope,
    finite,
    lower_bound,
    measure,
    noise_scale,
    outcome,
    softmax_step,
)
from optiscope.analysis.detectors import NAMES

STEPS = np.arange(1, 401)


def healthy(rng, ar1, phi=0.3, n=400, sigma=0.3):
    """A lower envelope that drifts down as log t, as those of healthy runs do, and an IQR that grows."""
    t = np.arange(1, n + 1)
    return -2 - 0.8 * np.log(t) + sigma * ar1(n, phi, rng), 1 + 0.5 * np.log(t)


@pytest.mark.parametrize(("steps", "epoch", "burn"), [(400, 100, 100), (400, 25, 40), (401, 1, 41), (20_000, 50, 2000)])
def test_burn_in_is_an_epoch_or_a_tenth(steps, epoch, burn):
    assert burn_in(steps, epoch) == burn


@pytest.mark.parametrize(("onset", "burn"), [(10, 40), (39, 40), (120, 120), (199, 199), (250, 200)])
def test_burn_in_lasts_until_the_spread_has_come_half_of_its_way_but_not_over_half_of_the_run(onset, burn):
    spread = np.where(np.arange(400) < onset, 0.49, 1.0) * 4
    assert burn_in(400, 1, spread) == burn
    assert burn_in(400, 150, spread) == max(150, burn)


def test_a_spread_that_only_falls_needs_no_more():
    assert burn_in(400, 1, np.linspace(9, 1, 400)) == 40
    assert burn_in(400, 1, np.zeros(400)) == 40
    assert burn_in(400, 1, np.empty(0)) == 40


def test_what_is_learned_first_is_not_judged(ar1):
    q05, iqr = healthy(np.random.default_rng(3), ar1)
    q05[:150] *= 0.1  # a network that says little, and of a sudden much
    iqr[:150] *= 0.1
    bound = lower_bound(q05, iqr, 1)
    assert 125 <= bound.burn <= 175
    assert envelope(q05, iqr, 1).steps[0] == bound.burn + 1


def test_a_healthy_log_drift_is_steady(ar1):
    q05, iqr = healthy(np.random.default_rng(0), ar1)
    found = envelope(q05, iqr, 100)
    assert found.result == "pass"
    assert found.steps == (101, 400)
    assert found.interval[0] < found.statistic < found.interval[1] < found.threshold


def test_roughness_is_what_it_is_defined_as(ar1):
    rng = np.random.default_rng(1)
    found = envelope(0.2 * ar1(4000, 0, rng), np.full(4000, 2.0), 100)
    assert found.statistic == pytest.approx(0.1, rel=0.06)


def test_the_drift_is_measured_and_does_not_matter(ar1):
    q05, _ = healthy(np.random.default_rng(2), ar1)
    flat = q05 + 0.8 * np.log(STEPS)
    one, other = measure(q05, 100), measure(flat, 100)
    assert one.trend == pytest.approx(other.trend - 0.8)
    assert one.shift == pytest.approx(other.shift)


@pytest.mark.parametrize("factor", [1e-6, 3.0, 1e9])
def test_scaling_signal_and_spread_together_changes_nothing(ar1, factor):
    q05, iqr = healthy(np.random.default_rng(3), ar1)
    q05[300] -= 5
    one, other = envelope(q05, iqr, 100), envelope(factor * q05, factor * iqr, 100)
    assert one.result == other.result == "alarm"
    assert one.statistic == pytest.approx(other.statistic)
    assert one.p_value == pytest.approx(other.p_value)
    assert one.alarms[0].steps == other.alarms[0].steps


def test_a_run_is_always_judged_alike(ar1):
    q05, iqr = healthy(np.random.default_rng(4), ar1)
    assert envelope(q05, iqr, 100) == envelope(q05, iqr, 100)


def test_a_spike_is_found_where_it_is(ar1):
    q05, iqr = healthy(np.random.default_rng(5), ar1)
    q05[319] -= 3
    found = envelope(q05, iqr, 100)
    assert [alarm.name for alarm in found.alarms] == ["X"]
    assert found.first_step == 320
    assert "320" in found.why


def test_noise_that_grows_is_found_and_noise_that_dies_down_is_not(ar1):
    rng = np.random.default_rng(6)
    size = np.where(STEPS > 250, 1.0, 0.3)
    assert "V" in [alarm.name for alarm in measure(size * ar1(400, 0, rng), 100).alarms]
    assert "V" not in [alarm.name for alarm in measure(size[::-1] * ar1(400, 0, rng), 100).alarms]


def test_a_shift_is_found_where_it_is(ar1):
    q05, iqr = healthy(np.random.default_rng(7), ar1)
    q05[260:] -= 1.2
    found = envelope(q05, iqr, 100)
    assert "D" in [alarm.name for alarm in found.alarms]
    shift = next(alarm for alarm in found.alarms if alarm.name == "D")
    assert shift.steps[0] == pytest.approx(261, abs=5)
    assert shift.steps[1] == shift.steps[0] + 50


def test_a_rough_envelope_alarms_by_r(ar1):
    q05, _ = healthy(np.random.default_rng(8), ar1, phi=0, sigma=1.0)
    found = envelope(q05, np.full(400, 1.0), 100)
    assert found.alarms[0].name == "R"
    assert found.alarms[0].steps == (101, 400)


def test_a_roughness_whose_interval_reaches_the_limit_is_undecided(ar1):
    q05, _ = healthy(np.random.default_rng(9), ar1, phi=0)
    sigma = measure(q05, 100).sigma
    found = envelope(q05, np.full(400, sigma / 0.49), 100)
    assert found.result == "undecided"
    assert found.statistic == pytest.approx(0.49)


@pytest.mark.parametrize(("n", "epoch", "left"), [(400, 201, 199), (220, 10, 198), (0, 10, 0)])
def test_a_short_record_is_undecided(ar1, n, epoch, left):
    q05, iqr = (series[:n] for series in healthy(np.random.default_rng(10), ar1))
    found = envelope(q05, iqr, epoch)
    assert found.result == "undecided"
    assert str(left) in found.why


def test_a_tail_that_is_not_finite_is_not_used(ar1):
    q05, iqr = healthy(np.random.default_rng(11), ar1)
    q05[350:] = np.nan
    assert envelope(q05, iqr, 100).steps == (101, 350)
    q05[250:] = np.nan
    assert envelope(q05, iqr, 100).result == "undecided"


@pytest.mark.parametrize("value", [0.0, -2.5])
def test_a_flat_signal_says_nothing(value):
    assert envelope(np.full(400, value), np.full(400, 0.01), 100).result == "undecided"


def test_no_spread_says_nothing(ar1):
    q05, _ = healthy(np.random.default_rng(12), ar1)
    assert envelope(q05, np.zeros(400), 100).result == "undecided"


def test_each_alarm_is_beyond_its_limit_at_a_third_of_the_level(ar1, faults):
    rng = np.random.default_rng(13)
    series = [
        faults[fault](ar1(400, 0, rng), size) for fault, size in [("spike", 4.2), ("step", 0.8)] for _ in range(15)
    ]
    measured = [measure(values, 100) for values in series]
    assert sum(0.05 / 3 < min(found.p_values) <= 0.05 for found in measured) >= 3
    for found in measured:
        for alarm in found.alarms:
            assert alarm.p_value <= 0.05 / 3
            assert alarm.statistic >= 0.97 * alarm.threshold


def test_growth_that_is_significant_and_small_does_not_alarm(ar1):
    values = ar1(6000, 0, np.random.default_rng(14)) * np.where(np.arange(6000) < 3300, 1, 1.15)
    found = measure(values, 600)
    assert found.p_values[1] <= 0.05 / 3
    assert found.growth < np.log(2) / 4
    assert found.alarms == ()


def test_a_bend_that_is_significant_and_gradual_does_not_alarm(ar1):
    values = ar1(400, 0, np.random.default_rng(15)) + 0.8 * np.cos(2 * np.pi * STEPS / 400)
    found = measure(values, 100)
    assert found.p_values[2] <= 0.05 / 3
    assert found.alarms == ()


def test_long_tails_are_not_spikes():
    rng = np.random.default_rng(16)
    alarms = sum("X" in [alarm.name for alarm in measure(rng.laplace(size=400), 100).alarms] for _ in range(20))
    assert alarms <= 8  # nearly all of them with the limit for normal noise


TRIALS = int(os.environ.get("OPTISCOPE_TRIALS", "0"))
"""How often the two tests below try; by default as often as a quick test can. docs/labels.md gives the command."""


@pytest.mark.parametrize("phi", [0.0, 0.5, 0.9])
def test_false_alarms_on_correlated_noise_stay_near_five_percent(ar1, phi):
    rng, trials = np.random.default_rng(20), TRIALS or 40
    alarms = sum(bool(measure(ar1(400, phi, rng) - np.log(STEPS), 100).alarms) for _ in range(trials))
    print(f"false alarms at correlation {phi}: {alarms} of {trials}")
    assert alarms <= 0.05 * trials + 3 * np.sqrt(0.05 * 0.95 * trials)


@pytest.mark.parametrize(
    ("fault", "size", "phi", "power"),
    [
        ("spike", 5, 0.0, 0.4),
        ("spike", 6, 0.0, 0.9),
        ("spike", 6, 0.5, 0.8),
        ("spike", 6, 0.9, 0.9),
        ("step", 2, 0.0, 0.9),
        ("step", 20, 0.0, 0.9),
        ("step", 2, 0.5, 0.6),
        ("step", 3, 0.5, 0.9),
        ("noise", 1.4142, 0.0, 0.4),
        ("noise", 2, 0.0, 0.9),
        ("noise", 2, 0.5, 0.9),
        ("noise", 2, 0.9, 0.6),
        ("noise", 3, 0.9, 0.9),
        ("oscillation", 2, 0.0, 0.9),
        ("oscillation", 2, 0.9, 0.9),
    ],
)
def test_faults_are_found(ar1, faults, fault, size, phi, power):
    rng, trials = np.random.default_rng(21), TRIALS or 10
    found = [measure(faults[fault](ar1(400, phi, rng), size) - np.log(STEPS), 100).alarms for _ in range(trials)]
    rate = np.mean([bool(alarms) for alarms in found])
    print(f"{fault} {size} at correlation {phi}: found {rate:.2f}")
    assert rate >= power


SERIES = arrays.arrays(
    np.float64,
    st.sampled_from([0, 1, 30, 60, 260, 300]),
    elements=st.one_of(st.floats(width=64), st.floats(-10, 10), st.sampled_from([0.0, 1.0, 5e-324, 1.7e308])),
    fill=st.floats(width=64),
)


@example(one=np.full(300, 1.7e308), other=np.full(300, 1.7e308), epoch=1)
@example(one=np.full(300, 1.7e308), other=np.full(300, 5e-324), epoch=1)
@example(one=np.linspace(-8e307, 8e307, 300), other=np.ones(300), epoch=1)
@example(one=np.resize([1.7e308, 5e-324], 300), other=-np.ones(300), epoch=1)
@example(one=np.resize([0.0, 0.0, 0.0, -1.0, -1.0, -1.0, -1.0], 300), other=np.zeros(300), epoch=1)
@example(one=np.resize([1.7e308, -1.7e308], 300), other=np.ones(300), epoch=1)
@example(one=np.full(60, 5e-324), other=np.ones(60), epoch=1)
@settings(max_examples=60, deadline=None)
@given(one=SERIES, other=SERIES, epoch=st.integers(1, 100))
def test_no_series_makes_a_rule_raise_and_every_finding_is_one_sentence(one, other, epoch):
    found = [outcome(one), collapse(one, other), envelope(one, other, epoch), finite({"one": one, "other": other})]
    found += [detect(one, epoch, name, "loss") for name in NAMES]
    found += [dynamics(one), dynamics(one, 0.5, other, 0.1), noise_scale(one, other, 10)]
    found += [adam_rms(one, np.arange(one.size)), softmax_step(one.reshape(-1, 1, 1), np.arange(one.size))]
    for finding in found:
        assert finding.why.strip()
        assert "\n" not in finding.why


def test_what_is_drawn_in_logits_is_what_was_judged_in_units_of_the_spread(ar1):
    q05, iqr = healthy(np.random.default_rng(22), ar1)
    bound, found = lower_bound(q05, iqr, 100), envelope(q05, iqr, 100)
    low, middle, high = bound.band(3)
    np.testing.assert_allclose((high - low) / 6, found.statistic * bound.spread[100:])
    np.testing.assert_allclose(bound.spread[200], np.median(iqr[175:226]))
    np.testing.assert_allclose(middle[100], bound.spread[200] * np.median(bound.values[175:226]))
    spike = found.statistic * bound.spread[300] * 12
    q05[300] = middle[200] - spike
    alarm = envelope(q05, iqr, 100).alarms[0]
    assert (alarm.name, alarm.statistic) == ("X", pytest.approx(12, rel=0.02))


def test_a_record_that_ends_with_the_burn_in_has_no_band():
    assert [edge.size for edge in lower_bound(np.ones(50), np.ones(50), 50).band(3)] == [0, 0, 0]
