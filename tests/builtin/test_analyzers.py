"""The shells pick the right series; the rules are tested under tests/analysis."""

from types import SimpleNamespace

import numpy as np
import pytest

from optiscope import analysis
from optiscope.builtin.analyzers import ANALYZERS, Collapse, Envelope, Finite, Outcome


@pytest.fixture
def run():
    rng = np.random.default_rng(0)
    steps = {
        "loss": 0.3 + 2 * np.exp(-np.arange(400) / 60) + 0.03 * rng.standard_normal(400),
        "logits_q05": -4 + 0.2 * rng.standard_normal(400),
        "logits_iqr": np.full(400, 2.0),
        "grad_norm": np.ones((400, 3)),
        "update_norm": np.ones((400, 3)),
        "accuracy": np.full(400, np.nan),
    }
    return SimpleNamespace(status="completed", why="", n_steps=400, steps=steps, config={"steps_per_epoch": 150})


def test_there_are_four_and_each_says_what_it_is():
    assert [analyzer.name for analyzer in ANALYZERS] == ["finite", "collapse", "outcome", "envelope"]
    assert [analyzer.axis for analyzer in ANALYZERS] == ["outcome", "outcome", "outcome", "signal"]
    assert all(analyzer.required for analyzer in ANALYZERS)


@pytest.mark.parametrize("analyzer", ANALYZERS)
def test_findings_carry_name_and_version_of_their_analyzer(run, analyzer):
    found = analyzer().analyze(run)
    assert (found.name, found.rule_version) == (analyzer.name, analyzer.rule_version)
    assert found.result == "pass"


@pytest.mark.parametrize("name", ["loss", "grad_norm", "update_norm"])
def test_finite_looks_at_loss_gradient_and_update(run, name):
    run.steps[name][200] = np.nan
    assert Finite().analyze(run).first_step == 201


def test_finite_believes_the_run(run):
    run.status = "diverged"
    assert Finite().analyze(run).result == "fail"


def test_collapse_looks_at_the_spread_and_the_loss(run):
    run.steps["logits_iqr"][200:] = 0.1
    assert Collapse().analyze(run).result == "pass"
    run.steps["loss"][200:] = 2.3
    assert Collapse().analyze(run).result == "fail"


def test_outcome_looks_at_the_loss(run):
    assert Outcome().analyze(run) == analysis.outcome(run.steps["loss"])


def test_envelope_drops_an_epoch(run):
    assert Envelope().analyze(run).steps == (151, 400)


def test_series_that_are_not_there_are_undecided():
    run = SimpleNamespace(status="completed", why="", n_steps=0, steps={}, config={"steps_per_epoch": 10})
    assert {analyzer().analyze(run).result for analyzer in ANALYZERS} == {"undecided"}


def test_the_gradient_norm_is_that_of_the_whole(run):
    run.steps["grad_norm"] = np.tile([2.0, 3.0, 6.0], (5, 1))
    np.testing.assert_allclose(analysis.gradient_norm(run), 7)
    del run.steps["grad_norm"]
    assert analysis.gradient_norm(run).size == 0
