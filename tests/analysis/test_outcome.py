import numpy as np
import pytest

from optiscope.analysis import outcome
from optiscope.analysis.outcome import first_steps, last_tenth


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
    ("first", "last", "result", "kind"),
    [
        (2.0, 0.5, "pass", ""),
        (2.0, 1.79, "pass", ""),
        (2.0, 1.8, "fail", "not learned"),
        (2.0, 2.0, "fail", "not learned"),
        (2.0, 2.1, "fail", "diverged"),
        (2.0, 1e30, "fail", "diverged"),
    ],
)
def test_the_ratio_decides(first, last, result, kind):
    found = outcome(levels(first, last))
    assert (found.result, found.kind) == (result, kind)
    assert found.statistic == pytest.approx(last / first)
    assert found.threshold == 0.9


def test_a_ratio_whose_interval_reaches_the_limit_is_undecided():
    found = outcome(levels(2.0, 1.7, noise=0.1))
    assert found.statistic < 0.9 < found.interval[1]
    assert found.result == "undecided"


def test_only_the_ends_count():
    loss = levels(2.0, 0.5)
    loss[100:300] = 50
    assert outcome(loss).result == "pass"


def test_a_dead_network_at_chance_failed():
    rng = np.random.default_rng(0)
    found = outcome(np.log(10) + 0.02 * rng.standard_normal(400))
    assert found.result == "fail"


def test_slow_learning_fails_the_rule_as_it_stands_and_the_sentence_says_so():
    loss = 2.3 - 0.2 * np.arange(400) / 400 + 0.01 * np.random.default_rng(1).standard_normal(400)
    found = outcome(loss)
    assert (found.result, found.kind) == ("fail", "not learned")
    assert "still falling" in found.why
    assert "still falling" not in outcome(np.full(400, 2.3)).why


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
