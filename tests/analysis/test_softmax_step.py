"""Steps of a known size in the space of the logits."""

import numpy as np
import pytest

from optiscope.analysis import softmax_step


def moving(sizes, images=7, classes=4):
    """Return logits whose spread moves by `sizes` times pi from each row to the next; all else is common to them."""
    rng = np.random.default_rng(0)
    shape = np.linspace(0, 1, classes) * np.pi
    rows = [rng.standard_normal((images, classes))]
    for size in sizes:
        rows.append(rows[-1] + size * shape + rng.standard_normal((images, 1)))
    return np.array(rows)


@pytest.mark.parametrize(
    ("largest", "result", "first"), [(0.9, "pass", None), (1.5, "undecided", None), (5.5, "alarm", 31)]
)
def test_single_steps_are_judged(largest, result, first):
    sizes = np.full(60, 0.2)
    sizes[29], sizes[55] = largest, 20.0
    found = softmax_step(moving(sizes), np.arange(1, 62))
    assert found.statistic == pytest.approx(largest)
    assert (found.result, found.first_step, found.steps) == (result, first, (1, 51))


def test_rows_that_are_far_apart_give_a_bound_and_no_pass():
    found = softmax_step(moving([6.4, 500.0]), np.array([1, 65, 129]))
    assert (found.result, found.steps) == ("info", (1, 65))
    assert found.statistic == pytest.approx(0.1)
    assert "every 64 steps" in found.why
    assert softmax_step(moving([640.0]), np.array([1, 65])).result == "alarm"


def test_the_bound_is_one():
    rng = np.random.default_rng(1)
    logits = np.cumsum(rng.standard_normal((51, 1, 5)), axis=0)
    each = softmax_step(logits, np.arange(1, 52)).statistic
    assert softmax_step(logits[::10], np.arange(1, 52, 10)).statistic <= each


def test_the_typical_image_counts():
    logits = moving([0.5])
    logits[1, :3] += 100 * np.arange(4)
    assert softmax_step(logits, np.array([1, 2])).statistic == pytest.approx(0.5)


@pytest.mark.parametrize(
    "logits", [np.zeros((1, 3, 2)), np.zeros((0, 3, 2)), np.full((2, 3, 2), np.nan), np.zeros((2, 3))]
)
def test_without_two_steps_there_is_no_answer(logits):
    assert softmax_step(logits, np.arange(1, len(logits) + 1)).result == "undecided"
