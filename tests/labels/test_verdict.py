"""Every way to a verdict."""

import attrs
import numpy as np
import pytest

from optiscope.analysis import Alarm, Finding
from optiscope.labels import Judged, form_verdict


def judged(axis, result, *, name="rule", required=True, **more):
    decisive = more.pop("decisive", False)
    finding = Finding(name=name, rule_version="1", result=result, why=f"{name} says {result}", **more)
    return Judged(finding, axis, required, decisive)


TRAINED = judged("outcome", "pass", name="outcome")
STEADY = judged("signal", "pass", name="envelope")


def rough(name="X", first=300, last=300):
    alarm = Alarm(name=name, statistic=9.0, threshold=4.0, p_value=0.003, steps=(first, last))
    return judged("signal", "alarm", name="envelope", alarms=(alarm,), first_step=first, steps=(51, 400))


def test_stable_needs_every_required_analyzer_to_pass(make_run):
    verdict = form_verdict(make_run(), [STEADY, TRAINED])
    assert (verdict.verdict, verdict.outcome, verdict.dynamics, verdict.signal) == (
        "stable",
        "trained",
        "not measured",
        "steady",
    )
    assert verdict.first_step is None
    assert verdict.why == "outcome says pass; envelope says pass"


@pytest.mark.parametrize("kind", ["non-finite", "collapsed", "diverged", "not learned"])
def test_a_failed_run_is_unstable(make_run, kind):
    failed = judged("outcome", "fail", name="outcome", kind=kind, first_step=7)
    verdict = form_verdict(make_run(), [failed, STEADY])
    assert (verdict.verdict, verdict.outcome, verdict.first_step) == ("unstable", f"failed: {kind}", 7)
    assert verdict.why == "outcome says fail"


def test_a_collapse_comes_before_what_it_does_to_the_loss(make_run):
    loss = judged("outcome", "fail", name="outcome", kind="not learned")
    dead = judged("outcome", "fail", name="collapse", kind="collapsed")
    assert form_verdict(make_run(), [loss, dead]).outcome == "failed: collapsed"


def test_an_alarm_that_the_loss_confirms_is_unstable(make_run, steps):
    steps["loss"][299] += 3
    verdict = form_verdict(make_run(steps), [TRAINED, rough()])
    assert (verdict.verdict, verdict.outcome, verdict.signal) == ("unstable", "trained", "rough: X")
    assert verdict.first_step == 300
    assert "the loss confirms it (X at steps 300 to 300)" in verdict.why


def test_an_alarm_that_the_gradient_confirms_is_unstable(make_run, steps):
    steps["grad_norm"][299] *= 5
    assert "the gradient norm confirms it" in form_verdict(make_run(steps), [TRAINED, rough()]).why


def test_an_alarm_that_nobody_confirms_is_undecided(make_run):
    verdict = form_verdict(make_run(), [TRAINED, rough()])
    assert (verdict.verdict, verdict.signal) == ("undecided", "rough: X")
    assert "neither loss nor gradient confirms it" in verdict.why


def test_a_foreign_alarm_is_confirmed_over_the_steps_it_rests_on(make_run, steps):
    steps["loss"][299] += 3
    alarm = judged("signal", "alarm", name="somebody", required=False, steps=(280, 320))
    verdict = form_verdict(make_run(steps), [TRAINED, STEADY, alarm])
    assert (verdict.verdict, verdict.signal) == ("unstable", "rough: somebody")
    elsewhere = attrs.evolve(alarm, finding=attrs.evolve(alarm.finding, steps=(100, 120)))
    assert form_verdict(make_run(steps), [TRAINED, STEADY, elsewhere]).verdict == "undecided"
    nowhere = attrs.evolve(alarm, finding=attrs.evolve(alarm.finding, steps=None))
    assert form_verdict(make_run(steps), [TRAINED, STEADY, nowhere]).verdict == "undecided"


@pytest.mark.parametrize("result", ["undecided", "error", "info"])
@pytest.mark.parametrize("axis", ["outcome", "signal", "dynamics", "report"])
def test_a_required_analyzer_that_does_not_pass_leaves_it_undecided(make_run, axis, result):
    verdict = form_verdict(make_run(), [TRAINED, STEADY, judged(axis, result, name="odd")])
    assert (verdict.verdict, verdict.why) == ("undecided", f"odd says {result}")


@pytest.mark.parametrize("result", ["undecided", "error", "info"])
def test_one_that_is_not_required_does_not(make_run, result):
    other = judged("report", result, name="odd", required=False)
    assert form_verdict(make_run(), [TRAINED, STEADY, other]).verdict == "stable"


def test_without_required_analyzers_nothing_is_stable(make_run):
    verdict = form_verdict(make_run(), [])
    assert (verdict.verdict, verdict.outcome, verdict.signal) == ("undecided", "undecided", "not measured")


@pytest.mark.parametrize("status", ["running", "interrupted", "failed"])
def test_a_run_without_its_end_is_undecided_whatever_it_shows(make_run, status):
    failed = judged("outcome", "fail", name="outcome", kind="diverged")
    verdict = form_verdict(make_run(status=status), [failed, rough()])
    assert (verdict.verdict, verdict.outcome) == ("undecided", "undecided")
    assert form_verdict(make_run(status=status), [TRAINED, STEADY]).verdict == "undecided"


@pytest.mark.parametrize(
    ("why", "said"),
    [
        ("optimizer 'mine' raised at step 3", ": optimizer 'mine' raised at step 3"),
        ("", ""),
    ],
)
def test_of_a_run_that_ended_with_an_error_the_error_is_told(make_run, why, said):
    verdict = form_verdict(make_run(status="failed", why=why), [TRAINED, STEADY])
    assert verdict.why == f"the run ended with an error, which says nothing about its stability{said}"


def test_a_diverged_run_at_which_nobody_looked_is_not_stable(make_run):
    verdict = form_verdict(make_run(status="diverged"), [TRAINED, STEADY])
    assert verdict.verdict == "undecided"
    assert "not finite" in verdict.why


def test_dynamics_are_shown_where_they_are_measured(make_run):
    edge = judged("dynamics", "pass", name="sharpness", kind="below the edge")
    assert form_verdict(make_run(), [TRAINED, STEADY, edge]).dynamics == "below the edge"


def test_alarms_do_not_outlive_a_record_of_numbers_that_are_none(make_run, steps):
    steps["loss"][:] = np.nan
    assert form_verdict(make_run(steps), [TRAINED, rough()]).verdict == "undecided"


def known(result, kind):
    return judged("dynamics", result, name="dynamics", required=False, decisive=True, kind=kind)


OTHERS = [
    judged("outcome", "fail", name="outcome", kind="not learned"),
    judged("signal", "undecided", name="envelope"),
    judged("outcome", "pass", name="finite"),
]


@pytest.mark.parametrize(
    ("result", "kind", "verdict", "outcome"),
    [
        ("pass", "decaying", "stable", "trained"),
        ("fail", "growing", "unstable", "failed: growing"),
        ("undecided", "bounded oscillation", "undecided", "undecided"),
    ],
)
def test_what_knows_the_minimum_decides_in_place_of_the_others(make_run, result, kind, verdict, outcome):
    found = form_verdict(make_run(), [*OTHERS, known(result, kind)])
    assert (found.verdict, found.outcome, found.dynamics, found.signal) == (verdict, outcome, kind, "not measured")
    assert found.why == f"dynamics says {result}"
    assert [finding.name for finding in found.findings] == ["outcome", "envelope", "finite", "dynamics"]


def test_a_number_that_is_none_comes_before_all_that_is_known(make_run):
    bad = judged("outcome", "fail", name="finite", kind="non-finite")
    assert form_verdict(make_run(), [bad, known("pass", "decaying")]).outcome == "failed: non-finite"


def test_a_decisive_analyzer_that_knows_nothing_decides_nothing(make_run):
    found = form_verdict(make_run(), [TRAINED, STEADY, known("info", "")])
    assert (found.verdict, found.dynamics) == ("stable", "not measured")
    assert form_verdict(make_run(), [*OTHERS, known("info", "")]).verdict == "unstable"


def test_an_alarm_on_the_report_is_shown_and_not_judged(make_run):
    advice = judged("report", "alarm", name="spike", required=False, steps=(51, 400))
    assert form_verdict(make_run(), [TRAINED, STEADY, advice]).verdict == "stable"
