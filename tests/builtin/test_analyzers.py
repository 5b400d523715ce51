"""The shells pick the right series; the rules are tested under tests/analysis."""

from types import SimpleNamespace

import numpy as np
import pytest

from optiscope import analysis
from optiscope.analysis.thresholds import LIMITS
from optiscope.builtin import analyzers as shells
from optiscope.builtin.analyzers import ANALYZERS, Collapse, Dynamics, Envelope, Finite, Outcome


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
    return made(steps)


def made(steps, **config):
    return SimpleNamespace(
        status="completed",
        why="",
        n_steps=400,
        steps=steps,
        probe={},
        epochs={},
        plugins={},
        config={"steps_per_epoch": 150, "batch_size": 100} | config,
    )


def test_those_that_judge_are_few_and_the_others_advise_or_report():
    assert [one.name for one in ANALYZERS if one.required] == ["finite", "collapse", "outcome", "envelope"]
    assert [one.name for one in ANALYZERS if getattr(one, "decisive", False)] == ["dynamics"]
    assert {one().axis for one in ANALYZERS if not one.required and one is not Dynamics} == {"report"}
    assert [one.name for one in ANALYZERS] == [*dict.fromkeys(one.name for one in ANALYZERS)]


@pytest.mark.parametrize("analyzer", ANALYZERS)
def test_findings_carry_name_and_version_of_their_analyzer(run, analyzer):
    found = analyzer().analyze(run)
    assert (found.name, found.rule_version) == (analyzer.name, analyzer.rule_version)
    assert found.result == "pass" if analyzer.required else found.result in ("pass", "info", "undecided")


def test_an_option_that_is_not_the_default_is_part_of_the_version(run):
    assert Envelope(limit=0.4).analyze(run).rule_version == f"{LIMITS.version} (limit=0.4)"
    assert Envelope(limit=0.01).analyze(run).result == "alarm"
    assert Outcome(limit=0.01).analyze(run).kind == "not learned"


@pytest.mark.parametrize(
    ("name", "options", "part"),
    [
        ("Spike", {"series": "logits"}, "series must be one of signal, loss, gradient, not 'logits'"),
        ("Level", {"level": 1.0}, "level must be a number between 0 and 1"),
        ("PeriodTwo", {"judged": 1}, "judged must be true or false"),
        ("Spike", {"series": "loss", "judged": True}, "judged needs the series signal"),
        ("Envelope", {"limit": 0}, "limit must be a number above zero"),
    ],
)
def test_bad_options(name, options, part):
    with pytest.raises(ValueError, match=part):
        getattr(shells, name)(**options)


@pytest.mark.parametrize("name", ["Spike", "Variance", "Level", "PeriodTwo", "SoftmaxStep"])
def test_what_advises_is_judged_where_it_is_told_to(name):
    assert getattr(shells, name)().axis == "report"
    assert getattr(shells, name)(judged=True).axis == "signal"


def test_a_detector_looks_at_the_series_that_it_is_given(run):
    run.steps["loss"][300] += 3
    assert shells.Spike().analyze(run).result == "pass"
    found = shells.Spike(series="loss").analyze(run)
    assert (found.result, found.first_step) == ("alarm", 301)
    run.steps["grad_norm"] = np.abs(run.steps["grad_norm"] + 0.1 * np.random.default_rng(1).standard_normal((400, 3)))
    run.steps["grad_norm"][350] = 9
    assert shells.Spike(series="gradient").analyze(run).first_step == 351


def test_dynamics_are_judged_only_where_the_minimum_is_known(run):
    assert Dynamics().analyze(run).result == "info"
    t = np.arange(400)
    run = made({"loss": 3 + 0.9**t, "grad_norm": 0.95 ** t[:, None]}, minimum=3.0)
    found = Dynamics().analyze(run)
    assert (found.result, found.kind, found.direction) == ("pass", "decaying", "above")
    run.steps["loss"] = 3 + 1.1**t
    assert (Dynamics().analyze(run).result, Dynamics().analyze(run).kind) == ("fail", "growing")


def test_a_run_at_its_noise_is_decaying_and_one_above_it_circles():
    rng = np.random.default_rng(0)
    steps = {"loss": rng.chisquare(1, 400) + 1e3 * np.exp(-np.arange(400) / 10), "grad_norm": np.ones((400, 1))}
    assert Dynamics().analyze(made(steps, minimum=0.0, gradient_noise=0.5)).kind == "decaying"
    assert Dynamics().analyze(made(steps, minimum=0.0)).kind == "bounded oscillation"


def test_the_softmax_step_looks_at_the_probe(run):
    run.probe = {"logits": np.zeros((3, 5, 4)), "step": np.array([1, 2, 3])}
    assert shells.SoftmaxStep().analyze(run).statistic == 0
    run.config["output"] = "coordinates"
    assert shells.SoftmaxStep().analyze(run).result == "undecided"


def test_facts_are_read_from_where_they_are_recorded(run):
    counts = np.zeros((1, 3, 64), np.int64)
    counts[0, :, 47] = 100
    run.epochs = {"histograms": counts, "step": np.array([400])}
    run.plugins = {
        "gradient-angle": {"cosine": np.full(400, 0.5)},
        "gradient-rms": {"rms": np.array([1.0, 2.5]), "step": np.array([1, 11])},
    }
    found = {one.name: one().analyze(run) for one in (shells.UpdateRatio, shells.NoiseScale, shells.AdamRMS)}
    assert {finding.result for finding in found.values()} == {"info"}
    assert found["update-ratio"].steps == (400, 400)
    assert found["noise-scale"].statistic == pytest.approx(100)
    assert found["adam-rms"].first_step == 11


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
    found = {analyzer.name: analyzer().analyze(made({})) for analyzer in ANALYZERS}
    assert found.pop("dynamics").result == "info"
    assert {finding.result for finding in found.values()} == {"undecided"}
    assert found["envelope"].why == "the record has no logits_q05 and no logits_iqr"


def test_the_gradient_norm_is_that_of_the_whole(run):
    run.steps["grad_norm"] = np.tile([2.0, 3.0, 6.0], (5, 1))
    np.testing.assert_allclose(analysis.gradient_norm(run), 7)
    del run.steps["grad_norm"]
    assert analysis.gradient_norm(run).size == 0
