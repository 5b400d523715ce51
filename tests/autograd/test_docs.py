"""The guide's code runs, in order, and says what is true."""

import re
from pathlib import Path

import numpy as np
import pytest

PAGE = Path(__file__).parents[2] / "docs" / "autograd.md"


@pytest.fixture(scope="module")
def names():
    found = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL):
        exec(compile(block, str(PAGE), "exec"), found)
    return found


def test_the_hessian_of_the_guide(names):
    """Of mean cross-entropy, row by row: (diag(p) - p p^T) / B."""
    point, v = names["point"], names["v"]
    p = np.exp(point) / np.exp(point).sum(axis=1, keepdims=True)
    expected = (p * v - p * (p * v).sum(axis=1, keepdims=True)) / 2
    np.testing.assert_allclose(names["hessian_times_v"], expected, rtol=1e-12)


def test_the_operation_of_the_guide(names):
    np.testing.assert_allclose(names["x"].grad, 1 / (1 + np.exp([1.0, 0.0, -1.0])), rtol=1e-14)


def test_the_training_of_the_guide_writes_into_the_given_buffer(names):
    assert names["k"].grad is names["kernel_grad"]
    assert np.all(np.isfinite(names["kernel_grad"]))
    assert names["kernel_grad"].any()


def test_every_public_operation_is_on_the_page():
    from optiscope.autograd import TABLE

    text = PAGE.read_text(encoding="utf-8")
    operators = {"add", "subtract", "multiply", "divide", "power", "negative"}
    assert [name for name in TABLE if name not in operators and f"`{name}`" not in text] == []
