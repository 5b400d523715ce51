"""Every mistake is named: by the check whose business it is, in words that say which one it is."""

import re
import sys
from pathlib import Path

import pytest

from optiscope.testing import Subject, check, check_all, subject_of

sys.path.insert(0, str(Path(__file__).parent))

import planted

CONTRACT = [
    (planted.Rebinds, "in-place", "in place"),
    (planted.RebindsItsOwnName, "in-place", "changed no parameter"),
    (planted.ReturnsTheParameters, "in-place", "return nothing"),
    (planted.DoesNothing, "in-place", "changed no parameter"),
    (planted.WritesGradients, "gradients", "leave the gradients"),
    (planted.KeepsAViewOfGradients, "gradients", "'last' must be a copy"),
    (planted.KeepsGradientsOnSelf, "gradients", "must copy what it keeps"),
    (planted.AddsState, "state", "add or drop state"),
    (planted.StateIsANumber, "state", "'count' is a int"),
    (planted.OneArrayUnderTwoNames, "state", "'m' and state 'v' share memory"),
    (planted.StateIsTheParameters, "state", "a view of the parameters"),
    (planted.StateInDoublePrecision, "dtype", "'v' float64 where the parameters are float32"),
    (planted.StateBecomesDouble, "dtype", "became float64 at step 1"),
    (planted.BlowsUp, "step", "not finite at step 1"),
    (planted.CountsFromZero, "step", "counts from 0"),
    (planted.CountsOnSelf, "repeatable", "second time"),
    (planted.CountsInTheModule, "repeatable", "nothing in the module"),
    (planted.Unseeded, "repeatable", "seeded"),
    (planted.VelocityOnSelf, "restored", "interleaved"),
    (planted.RemembersInTheProcess, "fresh-process", "taken up in a fresh process ends elsewhere"),
    (planted.RateFromInit, "lr", "no effect"),
    (planted.RateInTheState, "lr", "no effect"),
    (planted.AnyRate, "options", "lr=0 is taken"),
    (planted.DividesByZero, "zero-gradients", "guard 0/0"),
    (planted.StateIsShared, "independent", "state is shared between parameters"),
    (planted.FirstBlockOnly, "independent", "not all of params.flat"),
    (planted.BlocksOfATensor, "independent", "of a large tensor"),
    (planted.SpreadsNaN, "not-finite", "keep it where it is"),
    (planted.NeedsAxes, "shapes", "without axes"),
    (planted.MeansOverEmpty, "shapes", "empty"),
    (planted.WrongSign, "quadratic", "at no lr"),
    (planted.DoesNothing, "quadratic", "less than 5 % of the loss after 400 steps; the least is 100 %"),
    (planted.WrongEdge, "stable-lr", "does not diverge"),
    (planted.NoCurvature, "stable-lr", "does not converge"),
    (planted.RestsBelowMore, "stable-lr", "does not come to rest"),
    (planted.RestsBelowLess, "stable-lr", "does not leave the minimum"),
    (planted.OneInputForAll, "stable-lr", "does not fall in mean square"),
    (planted.WithoutTheOne, "stable-lr", "does not grow in it"),
]

FINGERPRINT = [
    (planted.NoBiasCorrection, "warning", "no bias correction"),
    (planted.OnlyMIsCorrected, "warning", "only m is corrected"),
    (planted.OnlyVIsCorrected, "warning", "only v is corrected"),
    (planted.SwappedBetas, "warning", "beta1 and beta2 are swapped"),
    (planted.EpsilonInside, "fact", "epsilon is inside the root"),
    (planted.EpsilonBeforeTheCorrection, "fact", "before the bias correction"),
    (planted.NoEpsilon, "warning", "epsilon has no effect"),
    (planted.CoupledDecay, "fact", "decay is coupled"),
    (planted.DecayWithoutLr, "fact", "without lr"),
    (planted.CountsFromZero, "warning", "(from 0)"),
    (planted.StaleMoments, "warning", "stale"),
    (planted.MomentsAreSums, "warning", "are sums"),
    (planted.CountsFromTwo, "warning", "from 2"),
    (planted.SinglePrecision, "warning", "single precision"),
    (planted.WrongSign, "warning", "wrong sign"),
    (planted.StaleVelocity, "warning", "velocity from before this step is used: it is stale"),
    (planted.Dampening, "warning", "dampening"),
    (planted.DampenedLater, "fact", "from the second step on gradients enter the velocity times 1 - dampening"),
    (planted.DecoupledWhereCoupledIsMeant, "fact", "decay is decoupled"),
    (planted.SumForMean, "warning", "a sum in the place of a mean"),
    (planted.RateInsideVelocity, "fact", "as they enter the velocity"),
    (planted.DoesNothing, "fact", "at step 1 in 'matrix', where it does not move"),
]

REFERENCES = [
    (planted.NoBiasCorrection, "adam(decay=decoupled)", "at step 1 in '.*no bias correction"),
    (planted.CoupledDecay, "adam(decay=decoupled)", "decay is coupled.*where in adam.* decay is decoupled"),
    (planted.DecoupledWhereCoupledIsMeant, "sgd(decay=coupled)", "decay is decoupled.* decay is coupled"),
    (planted.EpsilonInside, "adam(decay=decoupled)", "at step 1 in 'small'.*inside the root"),
    (planted.VIsNotSquared, "adam(decay=decoupled)", "at step 1 in '"),
]


@pytest.mark.parametrize(("kind", "name", "words"), CONTRACT)
def test_a_broken_promise_is_named(kind, name, words):
    result = check(subject_of(kind), name)
    assert result.outcome == "failed"
    assert words in result.why


@pytest.mark.parametrize(("kind", "outcome", "words"), FINGERPRINT)
def test_the_fingerprint_names_what_differs(kind, outcome, words):
    result = check(subject_of(kind), "fingerprint")
    assert (result.outcome, words in result.why) == (outcome, True), result.why


@pytest.mark.parametrize(("kind", "reference", "words"), REFERENCES)
def test_a_reference_is_left_at_a_step_and_in_a_tensor(kind, reference, words):
    result = check(subject_of(kind, against=reference), "against")
    assert result.outcome == "failed"
    assert re.search(words, result.why), result.why


def test_what_raises_with_a_switch_turned_is_no_refusal():
    known = {"switched": planted.Switched}
    right, wrong = (
        check(Subject(factory=kind, known=known, against="switched"), "against")
        for kind in (planted.Switched, planted.RaisesWhereItIsSwitched)
    )
    assert (right.outcome, wrong.outcome) == ("passed", "failed")
    assert "in 3 settings" in right.why
    assert wrong.why.startswith("raises TypeError")


def test_an_option_that_does_nothing_is_named():
    result = check(subject_of(planted.DecayForgotten), "option-effects")
    assert result.outcome == "warning"
    assert result.why.startswith("weight_decay has no effect")
    assert check(subject_of(planted.AdamW), "option-effects").outcome == "passed"
    assert check(subject_of(planted.DoesNothing), "option-effects").why.startswith("lr and weight_decay have no effect")


@pytest.mark.parametrize("kind", [planted.GlobalNorm, planted.StateOfAllTensors, planted.OneValueForEachTensor])
def test_a_global_norm_is_no_mistake(kind):
    """But worth a look: whoever wrote no such method has shared something."""
    for name in ("independent", "not-finite"):
        result = check(subject_of(kind), name)
        assert (result.outcome, "global norm" in result.why) == ("warning", True)


@pytest.mark.parametrize("kind", [planted.AdamW, planted.HeavyBall])
def test_what_the_mistakes_were_made_in_is_right(kind):
    results = check_all(subject_of(kind))
    assert [result.name for result in results if result.outcome in ("failed", "warning")] == []
