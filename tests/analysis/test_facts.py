"""Scales that are reported, against numbers that are known."""

import numpy as np
import pytest

from optiscope.analysis import adam_rms, noise_scale, update_ratio, weight_norms
from optiscope.storage.schema import HISTOGRAM_EDGES


@pytest.mark.parametrize("scale", [1e-3, 0.05, 2.0])
def test_norms_from_histograms_are_near(scale):
    values = scale * np.random.default_rng(0).standard_normal((2, 3, 4000))
    counts = np.array([[np.histogram(row, HISTOGRAM_EDGES)[0] for row in epoch] for epoch in values])
    np.testing.assert_allclose(weight_norms(counts, HISTOGRAM_EDGES), np.linalg.norm(values, axis=2), rtol=0.05)


def test_weights_that_are_zero_or_beyond_the_edges():
    counts = np.zeros((1, 3, 64), np.int64)
    counts[0, 0, 32], counts[0, 1, 63], counts[0, 2, 0] = 4, 1, 1
    norms = weight_norms(counts, HISTOGRAM_EDGES)
    assert norms[0, 0] == pytest.approx(1e-5)
    np.testing.assert_allclose(norms[0, 1:], 10)


def test_the_update_ratio_is_that_of_the_last_epoch():
    updates = np.tile([3e-3, 4e-3], (20, 1))
    updates[19] *= 2
    found = update_ratio(updates, np.array([[9.0, 9.0], [6.0, 8.0]]), np.array([10, 20]))
    assert (found.result, found.steps) == ("info", (20, 20))
    assert found.statistic == pytest.approx(1e-3)


@pytest.mark.parametrize(
    ("updates", "weights", "steps"), [((0, 2), (1, 2), [5]), ((5, 2), (0, 2), []), ((5, 2), (1, 2), [9])]
)
def test_an_update_ratio_needs_both(updates, weights, steps):
    assert update_ratio(np.ones(updates), np.ones(weights), np.array(steps, int)).result == "undecided"
    assert update_ratio(np.ones((5, 2)), np.zeros((1, 2)), np.array([5])).result == "undecided"


def test_the_noise_scale_is_that_of_the_gradients():
    rng, batch, dimension, noise = np.random.default_rng(1), 20, 500, 0.5
    true = np.full(dimension, 0.1)
    grads = true + noise / np.sqrt(batch) * rng.standard_normal((2000, dimension))
    norm = np.linalg.norm(grads, axis=1)
    cosine = np.r_[np.nan, np.sum(grads[1:] * grads[:-1], axis=1) / norm[1:] / norm[:-1]]
    found = noise_scale(norm, cosine, batch)
    assert found.statistic == pytest.approx(dimension * noise**2 / (true @ true), rel=0.1)
    assert (found.result, found.steps) == ("info", (1001, 2000))


def test_gradients_that_share_nothing_have_no_noise_scale():
    found = noise_scale(np.ones(100), np.full(100, -0.1), 10)
    assert (found.result, found.statistic) == ("info", None)
    assert noise_scale(np.ones(100), np.empty(0), 10).result == "undecided"
    assert noise_scale(np.full(100, np.nan), np.ones(100), 10).result == "undecided"


def test_the_largest_rms_is_told_and_how_many_are_spikes():
    found = adam_rms(np.array([np.nan, 1.0, 2.4, 3.0]), np.array([1, 11, 21, 31]))
    assert (found.result, found.statistic, found.first_step, found.steps) == ("info", 3.0, 21, (11, 31))
    assert "2 of 3" in found.why
    assert adam_rms(np.full(3, np.nan), np.arange(3)).result == "undecided"
