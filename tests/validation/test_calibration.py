"""The measurement of docs/labels.md, in small: that it runs, and that nothing is far from what is written there."""

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import calibration  # noqa: E402


def test_false_alarms_stay_near_five_percent():
    trials = 25
    for counts in calibration.false_alarms(trials, seed=1).values():
        assert counts["any"] <= 0.05 * trials + 3 * (0.05 * 0.95 * trials) ** 0.5


@pytest.mark.parametrize(
    ("fault", "least"),
    [("spike of 6", 0.8), ("noise 3 times as large", 0.9), ("shift of 3", 0.9), ("period 2 growing to 2", 0.8)],
)
def test_faults_are_found_by_their_own_test_in_white_noise(fault, least):
    own, every = calibration.power(10, 1, (fault,))[fault, 0.0]
    assert own >= 10 * least
    assert every >= own


@pytest.mark.parametrize("problem", calibration.PROBLEMS)
def test_a_known_limit_is_never_read_wrong(problem):
    found = calibration.dynamics(6, 1, problem)
    assert found["below"]["unstable"] == found["above"]["stable"] == 0
    assert found["below"]["stable"] >= 5
    assert found["above"]["unstable"] >= (3 if problem.startswith("regression") else 6)


def test_the_tables_are_whole_tables():
    lines = [line for part in calibration.tables(1, 1) for line in part.splitlines() if line.startswith("|")]
    widths = [line.count("|") for line in lines]
    assert [widths.count(width) for width in (7, 6)] == [2 + 3, 2 + len(calibration.FAULTS) + 2 + 6]
