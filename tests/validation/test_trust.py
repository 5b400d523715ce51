"""What the tables of a sweep rest on: the measures, the truth, and limits that are those of the fit."""

import sys
from pathlib import Path

import attrs
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

import early
import limits
import trust

import sweep
from optiscope.analysis.thresholds import LIMITS

TABLE = Path(__file__).parents[2] / "docs" / "measured" / "sweep.csv"


@pytest.fixture(scope="module")
def rows():
    return trust.read(TABLE)


def test_the_version_is_the_digest_of_the_limits_and_of_what_they_were_fitted_on(rows):
    assert limits.fit(rows) == LIMITS
    assert limits.digest(attrs.evolve(LIMITS, collapse=2 * LIMITS.collapse), rows) != LIMITS.version
    assert limits.digest(LIMITS, rows[1:]) != LIMITS.version


def test_every_cell_is_whole_and_in_one_part(rows):
    assert len(rows) == len(sweep.FAMILIES) * len(sweep.FACTORS) * sum(sweep.SEEDS.values())
    for cell in trust.cells(rows):
        assert sorted(row["seed"] for row in cell) == list(range(sweep.SEEDS[int(cell[0]["batch_size"])]))
        assert {row["part"] for row in cell} in ({"fit", "seeds"}, {"families"}, {"batch"})


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        ([1, 2, 4], [16, 20], 8),
        ([1, 2, 40], [16, 20], np.sqrt(2 * 16)),  # one on the wrong side, wherever the limit is
        ([1, 8], [9, 100], np.sqrt(72)),
    ],
)
def test_a_limit_lies_in_the_middle_of_the_gap_with_the_fewest_errors(low, high, expected):
    assert limits.between(low, high) == pytest.approx(expected)
    with pytest.raises(ValueError, match="runs of both kinds"):
        limits.between([1.0], [])


def test_a_limit_that_few_reach():
    values = np.arange(1, 101) / 100
    assert limits.beyond(values, 0.05, 0.1) == pytest.approx(1.0)  # 0.95 is reached by six, 1.0 by one
    assert limits.beyond(values, 0.2, 0.1) == pytest.approx(0.9)
    assert limits.beyond([*values, np.nan], 0.0, 0.05) == pytest.approx(1.05)


def test_truth_is_what_the_subset_says():
    def run(lr, last, seed=0, finite=1):
        return {"optimizer": "a", "batch_size": 50, "seed": seed, "lr": lr, "finite": finite, "subset_last": last}

    rows = [run(0.001, 0.99), run(0.01, 0.2), run(0.1, 0.95), run(0.2, 0.89), run(1, np.nan, finite=0), run(1, 0.99, 1)]
    assert [trust._truth(row, rows) for row in rows] == ["slow", "trained", "failed", "trained", "failed", "failed"]


def test_the_area_under_the_curve_and_the_error_of_calibration():
    made = [{"truth": truth, "x": x} for truth, x in [("failed", 3), ("failed", 1), ("trained", 1), ("slow", 0)]]
    assert trust.auc(made, lambda row: row["x"]) == pytest.approx((4 - 0.5) / 4)
    assert np.isnan(trust.auc(made[:2], lambda row: row["x"]))
    p, failed = np.array([0.05, 0.05, 0.95, 0.95]), np.array([0.0, 0.0, 1.0, 0.0])
    assert trust.ece(p, failed) == pytest.approx((2 * 0.05 + 2 * 0.45) / 4)


def test_the_score_of_a_known_margin_is_that_of_the_logistic_model():
    rng = np.random.default_rng(0)
    made = []
    for x in rng.uniform(-2, 2, 4000):
        left = LIMITS.collapse * np.exp(-x)
        failed = rng.random() < 1 / (1 + np.exp(-(1 + 2 * x)))
        made.append({"finite": 1, "left": left, "fall": 99, "truth": "failed" if failed else "trained"})
    assert trust.fit(made) == pytest.approx([1, 2], abs=0.15)
    lost = trust.scored([{"finite": 0}], np.array([1.0, 2.0]))[0]
    assert lost["score"] == 1


def test_an_interval_is_over_cells_and_not_over_runs():
    def made(lr, value, times):
        return [{"optimizer": "a", "batch_size": 1, "lr": lr, "x": value}] * times

    one_run = [row for k in range(40) for row in made(k, k % 2, 1)]
    many = [row for k in range(40) for row in made(k, k % 2, 25)]

    def mean(rows):
        return float(np.mean([row["x"] for row in rows]))

    assert trust.interval(many, mean) == trust.interval(one_run, mean) == "0.500 (0.350 to 0.650)"


def test_when_something_is_known():
    loss = np.full(100, 2.3)
    loss[59] = 23.0
    loss[69:] = 1.0
    rises = sweep.rises(loss)
    assert rises[0] == 60
    assert [step for factor, step in zip(sweep.RISES, rises, strict=True) if factor > 10.01] == [0] * sum(
        sweep.RISES > 10.01
    )
    assert sweep.fell(loss, None) == 79  # ten of twenty lie below, and draw the median down
    assert sweep.fell(np.full(100, 2.3), None) == 0
    falls = sweep.falls(np.repeat([2.0, 0.02, 5.0], [50, 40, 10]))
    assert falls[0] == 20
    assert {step for low, step in zip(sweep.LEVELS, falls, strict=True) if 0.021 < low < 1} == {61}
    assert {step for low, step in zip(sweep.LEVELS, falls, strict=True) if low < 0.02} == {0}


def test_a_warning_is_fitted_to_the_runs_that_trained_and_judged_on_the_others():
    def run(truth, fell, part="fit"):
        return {"truth": truth, "fell": fell, "part": part, "steps": 400}

    deadline = early.thresholds_for(400)[0]
    rows = [run("trained", step) for step in range(101, 201)] + [run("failed", 0)]
    assert early.fit(deadline, rows) == 195  # at most five of a hundred come later
    assert deadline.at(run("failed", 0), 195) == 195
    assert deadline.at(run("trained", 195), 195) == 0
    assert deadline.at(run("trained", 196), 195) == 195
