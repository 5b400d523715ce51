"""The measurement of docs/labels.md, in small: that it runs, and that nothing is far from what is written there."""

import itertools
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import baselines  # noqa: E402
import calibration  # noqa: E402
import series  # noqa: E402
import signals  # noqa: E402


def test_false_alarms_stay_near_five_percent():
    trials, families = 12, ("AR(1) 0.9", "Student's t 4")
    found = signals.false_alarms(trials, 1, {name: series.HELD_OUT[name] for name in families})
    assert sum(counts["any"] for counts in found.values()) <= 0.05 * 24 + 3 * (0.05 * 0.95 * 24) ** 0.5


@pytest.mark.oracle
@pytest.mark.parametrize(
    ("fault", "phi", "least"),
    [
        ("spike of 6", 0.5, 0.7),
        ("noise 2 times as large", 0.9, 0.9),
        ("shift of 3", 0.0, 0.9),
        ("shift of 3", 0.9, 0.5),
        ("period 2 growing to 2", 0.0, 0.8),
    ],
)
def test_faults_are_found_by_their_own_test(fault, phi, least):
    pytest.importorskip("statsmodels", reason="needs the dependency group 'oracle'")
    own, every, areas = signals.power(fault, phi, 8, 1)
    assert own >= 8 * least
    assert every >= own
    assert areas["ours"] >= max(areas.values()) - 0.1


def test_an_area_is_the_chance_of_being_told_apart():
    assert baselines.auc([1.0, 2.0], [3.0, 4.0]) == 1
    assert baselines.auc([1.0, 3.0], [3.0, 0.0]) == 3 / 8


def test_the_ceiling_of_a_spike_in_white_noise_is_what_theory_says():
    # 299 normal values stay below c with 95 % for c = 3.77; one of them moved by 5 exceeds it with Phi(5 - c) = 0.89
    assert baselines.ceiling("spike of 5", 0.0, 0.05, 1500, 1) == pytest.approx(0.89, abs=0.04)


@pytest.mark.parametrize("problem", calibration.PROBLEMS)
def test_a_known_limit_is_never_read_wrong(problem):
    found = calibration.dynamics(6, 1, problem)
    assert found["below"]["unstable"] == found["above"]["stable"] == 0
    assert found["below"]["stable"] >= 5
    assert found["above"]["unstable"] >= (3 if problem.startswith("regression") else 6)


@pytest.mark.oracle
def test_the_tables_are_whole_tables(monkeypatch):
    pytest.importorskip("statsmodels", reason="needs the dependency group 'oracle'")
    monkeypatch.setattr(signals, "HELD_OUT", {"AR(1) 0": series.HELD_OUT["AR(1) 0"]})
    monkeypatch.setattr(signals, "PHIS", (0.0,))
    for part, expected in (("signals", [3, 2 + len(series.FAULTS), 2 + len(series.FAULTS)]), ("dynamics", [2 + 6])):
        lines = [line for text in calibration.PARTS[part](1, 1) for line in text.splitlines()]
        tables = [list(rows) for is_row, rows in itertools.groupby(lines, lambda line: line[:1] == "|") if is_row]
        assert [len(rows) for rows in tables] == expected
        assert all(len({row.count("|") for row in rows}) == 1 for rows in tables)
