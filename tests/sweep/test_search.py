"""The search for the largest stable learning rate, on problems whose answer is known."""

import json
import math

import attrs
import numpy as np
import pytest

import optiscope
from optiscope.config import GridConfig
from optiscope.errors import PluginError, UsageError
from optiscope.labels import Characterization
from optiscope.sweep.search import Made, settled, trials_of

HERE = {"executor": "in-process"}


def asked(model="quadratic", optimizer="sgd", batch_size=1, steps=400, **more):
    return GridConfig(model=model, optimizers=[optimizer], batch_sizes=[batch_size], steps=steps, **more)


def search(out, grid, **more):
    (found,) = optiscope.max_lr(grid, out, **HERE, **more)
    return found


def files(out):
    return sorted((out / "runs").glob("*.h5"))


@pytest.mark.parametrize(
    ("limit", "options", "reduction"),
    [
        (2 / (100 + 10), {"quadratic": {"curvature": (1, 10, 100)}, "sgd": {"weight_decay": 10.0}}, "mean"),
        (2 / (8 * 3), {"quadratic": {"curvature": 3.0, "noise": 0.01}}, "sum"),
    ],
)
def test_sgd_on_quadratics(tmp_path, limit, options, reduction):
    """2 / (L + a) for the largest curvature L and weight decay a (Polyak 1987); L is 8-fold in a sum of 8 examples."""
    batch_size = 8 if reduction == "sum" else 1
    grid = asked(options=options, reduction=reduction, batch_size=batch_size, steps=100)
    found = search(tmp_path, grid, tolerance=0.02)
    assert found.closed_form == pytest.approx(limit)
    assert found.low <= limit <= found.high
    assert found.lr_max == pytest.approx(limit, rel=0.01)
    assert found.lr_5_percent == pytest.approx(limit, rel=0.02), "nothing here is left to chance"
    assert (found.why, found.judged_by) == ("", "dynamics 2")


def test_adam_with_a_large_epsilon_comes_to_rest_up_to_its_closed_form(tmp_path):
    """(2 + 2 b1) / (1 - b1) e / L within 3 %; beyond it Adam oscillates, and diverges nowhere near."""
    options = {"quadratic": {"curvature": 2.0, "noise": 1e-9}, "adam": {"epsilon": 0.1, "beta1": 0.8, "beta2": 0.9}}
    found = search(tmp_path, asked(optimizer="adam", options=options, steps=400), between=(0.5, 15.0), tolerance=0.05)
    limit = (2 + 2 * 0.8) / (1 - 0.8) * 0.1 / 2.0
    assert found.closed_form == pytest.approx(limit)
    assert found.lr_max == pytest.approx(limit, rel=0.05)
    assert any("stays in a band" in made.why for made in found.evidence if made.result == "unstable")


def almost_sure_limit(batch_size, dimension):
    """Where E log of the factor of ||w|| is zero, by a Monte Carlo of 200,000 steps.

    A step takes a unit vector to (1 - lr q / B, lr sqrt(q) / B h) with q ~ chi2(B), h ~ N(0, I) in d - 1 axes, whatever
    its direction, so the factors are independent (Furstenberg and Kesten 1960 for products of random matrices).
    """
    rng = np.random.default_rng(0)
    q = rng.chisquare(batch_size, 200_000)
    h = rng.chisquare(dimension - 1, q.size) if dimension > 1 else 0.0
    low, high = 0.0, 20.0
    for _ in range(30):
        lr = (low + high) / 2
        drift = np.mean(np.log((1 - lr * q / batch_size) ** 2 + lr**2 * q * h / batch_size**2))
        low, high = (lr, high) if drift < 0 else (low, lr)
    return low


@pytest.mark.parametrize(("batch_size", "dimension"), [(10, 10)])
def test_gaussian_regression_is_bounded_between_its_limits_in_mean_square_and_almost_surely(
    tmp_path, batch_size, dimension
):
    """The mean-square limit 2 B / (B + d + 1) lies below that at which single runs come to rest."""
    options = {"noisy-quadratic": {"dimension": dimension}}
    grid = asked(model="noisy-quadratic", batch_size=batch_size, options=options, steps=200)
    found = search(tmp_path, grid, max_runs=24, between=(0.02, 20.0))
    assert found.closed_form == pytest.approx(2 * batch_size / (batch_size + dimension + 1))
    almost_sure = almost_sure_limit(batch_size, dimension)
    assert 0.95 * found.closed_form < found.lr_max < 1.05 * almost_sure
    assert found.low < almost_sure
    assert found.high > found.closed_form
    assert found.undecided > 0
    assert found.lr_5_percent < found.lr_max


def test_the_same_command_makes_the_same_runs(tmp_path):
    one, other = (search(tmp_path / name, asked(steps=60), max_runs=6) for name in "ab")
    assert one == other
    assert [made.seed for made in one.evidence] == list(range(one.runs)), "every run has a seed of its own"
    assert (tmp_path / "a" / "max-lr.json").read_bytes() == (tmp_path / "b" / "max-lr.json").read_bytes()


def test_searches_go_side_by_side_and_do_not_change_one_another(tmp_path):
    grid = GridConfig(model="quadratic", optimizers=["sgd", "adam"], batch_sizes=[1, 2], steps=60)
    found = optiscope.max_lr(grid, tmp_path / "all", jobs=2, max_runs=4)
    assert [(each.optimizer, each.batch_size) for each in found] == [("sgd", 1), ("sgd", 2), ("adam", 1), ("adam", 2)]
    assert found[0] == search(tmp_path / "alone", asked(steps=60), max_runs=4)
    assert len(files(tmp_path / "all")) == sum(each.runs for each in found)
    assert len(json.loads((tmp_path / "all" / "max-lr.json").read_text())) == 4


def test_resume_goes_on_with_the_runs_that_are_there(tmp_path):
    search(tmp_path, asked(steps=60), max_runs=3)
    before = {path: path.stat().st_mtime_ns for path in files(tmp_path)}
    assert len(before) == 3
    with pytest.raises(UsageError, match="already holds"):
        search(tmp_path, asked(steps=60))
    found = search(tmp_path, asked(steps=60), max_runs=6, resume=True)
    assert found == search(tmp_path / "whole", asked(steps=60), max_runs=6)
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in before.items())


def test_there_are_no_more_jobs_than_runs_in_a_round(tmp_path, monkeypatch):
    asked_for = []
    monkeypatch.setattr("optiscope.builtin.executors._check", asked_for.append)
    grid = attrs.evolve(asked(steps=20), batch_sizes=[1, 2, 4])
    optiscope.max_lr(grid, tmp_path / "out", **HERE, jobs=100_000, max_runs=2)
    assert asked_for[-1] == 2 * 3


def test_ctrl_c_keeps_what_was_made(tmp_path):
    def interrupt(progress):
        if len(progress.cells) == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        search(tmp_path, asked(steps=60), max_runs=6, on_progress=interrupt)
    kept = files(tmp_path)
    assert 2 <= len(kept) < 6
    found = search(tmp_path, asked(steps=60), max_runs=6, resume=True)
    assert set(kept) <= set(files(tmp_path))
    assert found.runs == 6


def test_the_folder_is_one_that_label_and_report_read(tmp_path):
    found = search(tmp_path, asked(steps=60), max_runs=3)
    characterization = Characterization.read(tmp_path)
    assert {cell.lr for cell in characterization.cells} == {made.lr for made in found.evidence}
    assert (tmp_path / "index.h5").exists()


def test_where_all_are_stable_there_is_a_lower_bound(tmp_path):
    found = search(tmp_path, asked(), between=(0.05, 0.5))
    assert (found.lr_max, found.high) == (None, None)
    assert found.low == 0.5
    assert found.why.startswith("every decided one of 2 runs is stable, up to 0.5: the limit lies above")
    assert json.loads((tmp_path / "max-lr.json").read_text())["lr_max"] is None


def test_where_none_is_stable_there_is_an_upper_bound(tmp_path):
    found = search(tmp_path, asked(), between=(3.0, 20.0))
    assert (found.lr_max, found.low) == (None, None)
    assert found.high == 3.0
    assert "no one of 2 runs is stable, down to 3: the limit lies below, if there is one" in found.why


def test_where_nothing_is_decided_it_says_so(tmp_path):
    found = search(tmp_path, asked(steps=10), between=(0.1, 0.2))
    assert (found.lr_max, found.low, found.high) == (None, None, None)
    assert "10 steps are too few" in found.why
    assert found.undecided == found.runs


def test_an_interval_that_stays_wide_says_why(tmp_path):
    found = search(tmp_path, asked(), max_runs=6)
    assert found.low < 2 < found.high
    assert "wider than 5 % after 6 runs: give more of them with --max-runs and --resume" in found.why


def test_a_model_without_a_known_minimum_is_judged_by_its_verdict(tmp_path):
    """Logistic regression: a stable verdict at one lr, none at an lr at which the loss ends above its start."""
    found = search(tmp_path, asked(model="logistic", batch_size=50), max_runs=8, between=(0.05, 5e3))
    assert found.judged_by == "verdict"
    assert found.closed_form is None
    assert found.evidence[-1].why


def test_to_learn_nothing_is_instability_where_a_smaller_lr_learned():
    results = {0.001: "not learned", 0.01: "stable", 0.1: "not learned", 0.2: "failed", 0.5: "undecided"}
    made = [Made(run_id="r", lr=lr, seed=0, result=result, why="") for lr, result in results.items()]
    outcomes = {trial.lr: trial.outcome for trial in trials_of(made)}
    assert outcomes == {0.001: "undecided", 0.01: "stable", 0.1: "unstable", 0.5: "undecided"}
    assert [each.result for each in settled(made)] == ["undecided", "stable", "unstable", "failed", "undecided"]
    assert [trial.outcome for trial in trials_of(made[2:3])] == ["undecided"]


def test_a_schedule_has_no_closed_form(tmp_path):
    assert search(tmp_path, asked(steps=60, schedule="cosine"), max_runs=1).closed_form is None


BROKEN = """
from optiscope.hooks import hookimpl
from optiscope.optim import SGD


class Broken(SGD):
    name = "broken"

    def update(self, params, grads, state, step):
        raise RuntimeError("no")


class Unsure(SGD):
    name = "unsure"

    def stable_lr(self, curvature):
        raise RuntimeError("what?")


@hookimpl
def optiscope_optimizers():
    return [Broken, Unsure]
"""


def test_an_optimizer_that_raises_ends_its_search(tmp_path):
    (tmp_path / "broken.py").write_text(BROKEN)
    found = search(tmp_path / "out", asked(optimizer="broken", plugins=[str(tmp_path / "broken.py")]))
    assert (found.runs, found.lr_max) == (1, None)
    assert "broke, and the search ended there" in found.why
    assert "RuntimeError: no" in found.why


def test_a_run_that_left_no_file_ends_its_search(tmp_path, monkeypatch):
    monkeypatch.setattr("optiscope.sweep.search.execute", lambda *_: {})
    found = search(tmp_path, asked())
    assert (found.runs, found.lr_max) == (1, None)
    assert "broke, and the search ended there" in found.why


def test_a_closed_form_that_raises_is_told_before_anything_is_written(tmp_path):
    (tmp_path / "broken.py").write_text(BROKEN)
    with pytest.raises(PluginError, match=r"optimizer 'unsure' .* failed: RuntimeError: what\?"):
        search(tmp_path / "out", asked(optimizer="unsure", plugins=[str(tmp_path / "broken.py")]))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"confidence": 1.0}, "--confidence must be above 0 and below 1, not 1.0"),
        ({"confidence": math.nan}, "--confidence must be"),
        ({"tolerance": 0.0}, "--tolerance must be a number >= 0.001, not 0.0"),
        ({"max_runs": 0}, "--max-runs must be a whole number >= 1, not 0"),
        ({"between": (1.0, 0.1)}, "--between takes two learning rates, the smaller first, not 1.0 and 0.1"),
        ({"between": (0.0, 0.1)}, "--between takes two learning rates"),
    ],
)
def test_bad_input(tmp_path, more, sentence):
    with pytest.raises(UsageError, match=sentence):
        search(tmp_path / "out", asked(), **more)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("more", [{"lrs": [0.1]}, {"seeds": 2}])
def test_lrs_and_seeds_are_its_own_affair(tmp_path, more):
    with pytest.raises(UsageError, match="leave lrs and seeds out"):
        search(tmp_path / "out", attrs.evolve(asked(), **more))
