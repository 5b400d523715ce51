from types import SimpleNamespace

import numpy as np
import pytest
from optiscope_spike_score import LEAST_PAST, WINDOW, SpikeScore, spikes

from optiscope.hooks import create_manager


def run_of(**steps):
    return SimpleNamespace(steps=steps, n_steps=len(next(iter(steps.values()))))


def by_hand(values, sigmas):
    marks = np.zeros(len(values), dtype=bool)
    for t in range(len(values)):
        past = values[max(0, t - WINDOW) : t]
        if len(past) >= LEAST_PAST:
            marks[t] = abs(values[t] - past.mean()) >= sigmas * past.std()
    return marks


def test_it_is_found_by_its_entry_point():
    assert create_manager().pieces("analyzers")["spike-score"].factory is SpikeScore


@pytest.mark.parametrize("length", [70, 400, 2500])
def test_the_marks_are_those_of_the_definition(length):
    values = np.random.default_rng(length).standard_normal(length) + 1e3
    values[55::37] += 12
    assert (spikes(values, 3.0) == by_hand(values, 3.0)).all()
    assert spikes(values, 3.0).any()


def test_the_score_is_the_share_of_spikes_of_the_spikier_series():
    noise = np.random.default_rng(1).standard_normal(500)
    norm = noise.copy()
    norm[[200, 300]] = 50.0
    finding = SpikeScore().analyze(run_of(loss=noise, grad_norm=norm[:, None]))
    assert finding.result == "info"
    assert finding.statistic == pytest.approx(2 / 500)
    assert finding.first_step == 201
    assert "gradient norm" in finding.why


def test_a_point_that_is_not_finite_is_a_spike_and_spoils_no_past():
    values = np.random.default_rng(2).standard_normal(300)
    values[250] = np.nan
    assert np.flatnonzero(spikes(values, 7.0)).tolist() == [250]


def test_a_constant_series_has_no_spike():
    assert not spikes(np.full(200, 2.5), 7.0).any()


def test_a_short_record_is_undecided():
    finding = SpikeScore().analyze(run_of(loss=np.ones(LEAST_PAST)))
    assert finding.result == "undecided"
    assert str(LEAST_PAST) in finding.why
