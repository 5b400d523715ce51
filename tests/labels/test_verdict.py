"""Every way to a verdict."""

import attrs
import numpy as np
import pytest

from optiscope.analysis import Alarm, Finding
from optiscope.analysis.setback import HARMFUL
from optiscope.analysis.thresholds import LIMITS
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


@pytest.mark.parametrize("kind", ["non-finite", "collapsed", "diverged"])
def test_a_failed_run_is_unstable(make_run, kind):
    failed = judged("outcome", "fail", name="outcome", kind=kind, first_step=7)
    verdict = form_verdict(make_run(), [failed, STEADY])
    assert (verdict.verdict, verdict.outcome, verdict.first_step) == ("unstable", f"failed: {kind}", 7)
    assert verdict.why == "outcome says fail"


def test_a_collapse_comes_before_what_it_does_to_the_loss(make_run):
    loss = judged("outcome", "fail", name="outcome", kind="diverged")
    dead = judged("outcome", "fail", name="collapse", kind="collapsed")
    assert form_verdict(make_run(), [loss, dead]).outcome == "failed: collapsed"


def test_what_has_not_learned_has_not_failed_either(make_run):
    slow = judged("outcome", "undecided", name="outcome", kind="not learned")
    verdict = form_verdict(make_run(), [slow, STEADY])
    assert (verdict.verdict, verdict.outcome, verdict.why) == ("undecided", "not learned", "outcome says undecided")
    dead = judged("outcome", "fail", name="collapse", kind="collapsed")
    assert form_verdict(make_run(), [slow, dead]).outcome == "failed: collapsed"


def set_back(steps, share, at=300, length=40):
    """Raise the loss by a share of what the untrained network has, from a step on."""
    steps["loss"][at - 1 : at - 1 + length] += share * np.median(steps["loss"][:5])


def test_an_alarm_that_set_the_loss_back_is_unstable(make_run, steps):
    set_back(steps, 2 * HARMFUL)
    verdict = form_verdict(make_run(steps), [TRAINED, rough()])
    assert (verdict.verdict, verdict.outcome, verdict.signal) == ("unstable", "trained", "rough: X")
    assert verdict.first_step == 300
    assert "the loss was set back by 0.5" in verdict.why


def test_one_that_did_the_loss_no_harm_is_told_and_does_not_count(make_run, steps):
    steps["grad_norm"][299] *= 50
    verdict = form_verdict(make_run(steps), [TRAINED, rough()])
    assert (verdict.verdict, verdict.signal, verdict.first_step) == ("stable", "rough: X (harmless)", 300)
    assert "no harm to the loss, which was set back by 0.0" in verdict.why


def test_a_signal_that_is_rough_throughout_is_not_excused(make_run):
    throughout = rough("R", 51, 400)
    verdict = form_verdict(make_run(), [TRAINED, throughout])
    assert (verdict.verdict, verdict.signal) == ("undecided", "rough: R")
    assert "no harm to the loss" in verdict.why


def test_between_the_two_it_is_undecided(make_run, steps):
    share = (LIMITS.harmless + HARMFUL) / 2
    set_back(steps, share)
    verdict = form_verdict(make_run(steps), [TRAINED, rough()])
    assert (verdict.verdict, verdict.signal) == ("undecided", "rough: X")
    assert f"the loss was set back by {share:.1f}" in verdict.why


def test_harmless_alarms_leave_other_questions_open(make_run):
    odd = judged("signal", "undecided", name="odd")
    verdict = form_verdict(make_run(), [TRAINED, rough(), odd])
    assert (verdict.verdict, verdict.why) == ("undecided", "odd says undecided")


def test_a_foreign_alarm_is_held_against_the_steps_it_rests_on(make_run, steps):
    set_back(steps, 2 * HARMFUL)
    alarm = judged("signal", "alarm", name="somebody", required=False, steps=(290, 320))
    verdict = form_verdict(make_run(steps), [TRAINED, STEADY, alarm])
    assert (verdict.verdict, verdict.signal) == ("unstable", "rough: somebody")
    elsewhere = attrs.evolve(alarm, finding=attrs.evolve(alarm.finding, steps=(100, 120)))
    assert form_verdict(make_run(steps), [TRAINED, STEADY, elsewhere]).verdict == "undecided"
    nowhere = attrs.evolve(alarm, finding=attrs.evolve(alarm.finding, steps=None))
    verdict = form_verdict(make_run(steps), [TRAINED, STEADY, elsewhere, nowhere])
    assert (verdict.verdict, verdict.why) == (
        "undecided",
        "somebody says alarm; whether it harmed the loss cannot be said",
    )
    assert form_verdict(make_run(steps), [TRAINED, STEADY, alarm, nowhere]).verdict == "unstable"


def test_without_a_loss_an_alarm_cannot_be_judged(make_run, steps):
    steps["loss"] = np.full(400, np.nan)
    assert form_verdict(make_run(steps), [TRAINED, rough()]).verdict == "undecided"


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
    judged("outcome", "fail", name="outcome", kind="diverged"),
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
