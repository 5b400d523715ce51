import numpy as np
import pytest

from optiscope.analysis import outcome
from optiscope.analysis.outcome import LIMIT, first_steps, last_tenth, untrained


def levels(first, last, n=400, noise=0.0, seed=0):
    loss = np.full(n, float(last))
    loss[: first_steps(n)] = first
    return loss * np.exp(noise * np.random.default_rng(seed).standard_normal(n))


@pytest.mark.parametrize(("n", "first"), [(50, 5), (400, 5), (1000, 10), (20_000, 20), (1_000_000, 20)])
def test_how_many_steps_are_the_first(n, first):
    assert first_steps(n) == first


@pytest.mark.parametrize(("n", "tenth"), [(50, 5), (400, 40), (401, 41)])
def test_how_many_steps_are_the_last_tenth(n, tenth):
    assert last_tenth(n) == tenth


@pytest.mark.parametrize(
    ("share", "result", "kind"),
    [
        (0.25, "pass", ""),
        (LIMIT - 0.01, "pass", ""),
        (LIMIT, "undecided", "not learned"),
        (1.0, "undecided", "not learned"),
        (1.05, "fail", "diverged"),
        (1e30, "fail", "diverged"),
    ],
)
def test_the_ratio_decides(share, result, kind):
    found = outcome(levels(2.0, 2 * share))
    assert (found.result, found.kind) == (result, kind)
    assert found.statistic == pytest.approx(share)
    assert found.threshold == LIMIT


def test_the_untrained_loss_is_that_of_the_first_steps_or_lower_where_they_blow_up():
    assert untrained(np.array([2.4, 2.3, 2.5, 2.2, 2.6, 0.1])) == 2.4  # the median of five
    assert untrained(np.array([2.4, 9.0, 80.0, 300.0, 7.0, 2.3])) == 2.4  # the first
    assert untrained(np.full(9, 2.4), chance=2.3) == 2.3
    assert untrained(np.full(9, 2.2), chance=2.3) == 2.2
    assert untrained(np.empty(0)) is None
    assert untrained(np.array([0.0, 1.0, 1.0])) is None
    assert untrained(np.array([np.nan, 1.0, 1.0])) is None


def test_a_loss_that_fell_from_where_it_blew_up_to_has_not_been_learned():
    loss = levels(2.4, 2.3)
    loss[1:60] = 1e4
    assert outcome(loss).kind == "not learned"
    loss[-40:] = 1.0
    assert outcome(loss).result == "pass"


def test_a_ratio_whose_interval_reaches_the_limit_is_undecided():
    found = outcome(levels(2.0, 2 * (LIMIT - 0.05), noise=0.1))
    assert found.statistic < LIMIT < found.interval[1]
    assert (found.result, found.kind) == ("undecided", "")


def test_only_the_ends_count():
    loss = levels(2.0, 0.5)
    loss[100:300] = 50
    assert outcome(loss).result == "pass"


def test_slow_learning_is_no_failure_and_the_sentence_says_that_it_goes_on():
    loss = 2.3 - 0.2 * np.arange(400) / 400 + 0.01 * np.random.default_rng(1).standard_normal(400)
    found = outcome(loss)
    assert (found.result, found.kind) == ("undecided", "not learned")
    assert "still falling" in found.why
    assert "still falling" not in outcome(np.full(400, 2.3)).why


def test_to_learn_to_guess_is_not_to_learn():
    loss = levels(3.0, np.log(10))
    assert outcome(loss).result == "pass"
    assert outcome(loss, np.log(10)).kind == "not learned"
    assert outcome(levels(3.0, 2.9), np.log(10)).kind == "not learned"  # above guessing, below its start
    assert outcome(levels(2.0, 2.2), np.log(10)).kind == "not learned"  # above its start, below guessing
    assert outcome(levels(3.0, 3.1), np.log(10)).kind == "diverged"


def test_the_unit_of_the_loss_does_not_matter():
    loss = levels(2.0, 0.7, noise=0.2)
    one, other = outcome(loss), outcome(1000 * loss)
    assert one.result == other.result
    assert one.statistic == pytest.approx(other.statistic)
    assert one.interval == pytest.approx(other.interval)


@pytest.mark.parametrize(
    "loss",
    [
        np.empty(0),
        np.ones(49),
        np.append(np.ones(60), np.nan),
        np.zeros(100),
        -np.ones(100),
        np.append([np.inf], np.ones(99)),
    ],
)
def test_what_cannot_be_said_is_undecided(loss):
    assert outcome(loss).result == "undecided"
