import itertools

import numpy as np
import pytest

from optiscope.labels.effective_step import Point, effective_step

SIZES, LRS = (50, 100, 150, 200), (0.001, 0.002, 0.004)


def points(behaviour, seeds=4, noise=0.05):
    rng = np.random.default_rng(3)
    cells = itertools.product(SIZES, LRS, range(seeds))
    return [Point(size, lr, behaviour(size, lr) + noise * rng.standard_normal()) for size, lr, _ in cells]


def test_a_behaviour_of_the_product_alone_is_an_effect_of_the_effective_step():
    found = effective_step(points(lambda size, lr: np.log(size * lr)))
    assert found.says == "effective step"
    assert found.along == pytest.approx(found.seeds, rel=0.2)
    assert found.share_interval[1] < 0.2
    # at the same lr two batch sizes differ by the log of their ratio
    assert found.across == pytest.approx(
        np.mean([np.log(b / a) for a, b in itertools.combinations(SIZES, 2)]), rel=0.05
    )


def test_a_behaviour_of_the_learning_rate_alone_is_more_than_the_step():
    assert effective_step(points(lambda size, lr: np.log(lr))).says == "more than the step"


def test_a_batch_size_that_acts_by_itself_as_well_is_told_of():
    assert effective_step(points(lambda size, lr: np.log(size * lr) - 0.2 * np.log(size))).says == "partly"


def test_noise_alone_decides_nothing():
    assert effective_step(points(lambda size, lr: 0.0)).says == "undecided"


def test_what_cannot_be_compared_is_none():
    found = effective_step([Point(50, 0.1, 1.0), Point(100, 0.2, 2.0), Point(50, 0.1, np.nan)])
    assert (found.seeds, found.along, found.across, found.share, found.says) == (None, None, None, None, "undecided")
    assert effective_step([]).says == "undecided"


def test_the_same_runs_give_the_same_numbers():
    runs = points(lambda size, lr: np.log(size * lr))
    assert effective_step(runs) == effective_step(runs)
