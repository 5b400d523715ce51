import numpy as np
import pytest

from optiscope.analysis import norms, quantiles, spread


@pytest.mark.parametrize("shape", [(1,), (2, 3), (50, 10), (7, 11, 3)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_quantiles_are_those_of_numpy(shape, dtype):
    values = np.random.default_rng(0).standard_normal(shape).astype(dtype)
    shares = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
    assert quantiles(values, *shares) == pytest.approx(np.quantile(values.astype(float), shares), rel=1e-6)


def test_the_spread_has_the_names_of_the_file():
    assert spread(np.arange(101.0), "x_") == pytest.approx({"x_q05": 5, "x_min": 0, "x_median": 50, "x_iqr": 50})


def test_norms_are_euclidean_and_in_order():
    arrays = {"b": np.float32([[3, 0], [0, 4]]), "a": np.array([2.0, 3.0, 6.0]), "none": np.empty(0)}
    assert norms(arrays) == [5.0, 7.0, 0.0]
