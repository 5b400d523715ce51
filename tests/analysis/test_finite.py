import numpy as np
import pytest

from optiscope.analysis import finite, first_non_finite


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_the_first_bad_step_over_all_series_is_named(bad):
    loss, norms = np.ones(10), np.ones((10, 3))
    loss[7:] = bad
    norms[5, 1] = bad
    found = finite({"loss": loss, "grad_norm": norms})
    assert (found.result, found.kind, found.first_step) == ("fail", "non-finite", 6)
    assert "grad_norm" in found.why


def test_numbers_pass():
    found = finite({"loss": np.ones(10)})
    assert (found.result, found.first_step, found.steps) == ("pass", None, (1, 10))


def test_a_parameter_that_is_not_recorded_can_be_what_was_not_finite():
    found = finite({"loss": np.ones(10)}, diverged=True)
    assert (found.result, found.first_step) == ("fail", 11)


def test_nothing_recorded_is_undecided_unless_the_run_says_more():
    assert finite({"loss": np.empty(0)}).result == "undecided"
    assert finite({}).result == "undecided"
    assert finite({}, diverged=True).first_step == 1


def test_first_non_finite_of_a_matrix():
    values = np.zeros((4, 2))
    assert first_non_finite(values) is None
    values[2, 1] = np.nan
    assert first_non_finite(values) == 3
