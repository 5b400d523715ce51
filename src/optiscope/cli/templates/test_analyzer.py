from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from my_plugin import MyPlugin

from optiscope.hooks import create_manager


def judge(loss: Any, **options: float) -> Any:
    return MyPlugin(**options).analyze(SimpleNamespace(steps={"loss": np.asarray(loss, dtype=float)}))


def test_it_is_found_by_its_entry_point() -> None:
    assert create_manager().pieces("analyzers")["my-plugin"].factory is MyPlugin


@pytest.mark.parametrize(("share", "step"), [(0.5, 8), (0.25, 15)])
def test_a_loss_that_falls_by_a_tenth_every_step(share: float, step: int) -> None:
    """0.9^7 = 0.478 is the first power below a half, 0.9^14 = 0.229 the first below a quarter."""
    finding = judge(0.9 ** np.arange(40), share=share)
    assert (finding.result, finding.first_step, finding.rule_version) == ("info", step, "1")


def test_one_low_step_is_no_fall() -> None:
    finding = judge([1.0] * 10 + [0.1] + [1.0] * 10)
    assert finding.first_step is None
    assert "in none of 21 steps" in finding.why


def test_a_short_record_is_undecided() -> None:
    assert judge([1.0, 0.1]).result == "undecided"
