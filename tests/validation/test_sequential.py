"""The measurement of docs/labels.md on seeds that are added one at a time: exact, so the page can be held to it."""

import math
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import sequential  # noqa: E402


@pytest.mark.parametrize("lost", [0.0, 0.4])
def test_every_cell_ends(lost):
    found = sequential.end(0.3, 0.9, most=8, lost=lost)
    assert found.stable + found.unstable + found.given_up + found.open == pytest.approx(1)
    assert 3 <= found.seeds <= 8


@pytest.mark.parametrize(("confidence", "fewest"), [(0.9, 3), (0.95, 4)])
def test_the_first_look_is_a_power(confidence, fewest):
    """With as many seeds as can decide and no more, all of them have to agree."""
    found = sequential.end(0.3, confidence, most=fewest)
    assert (found.unstable, found.stable) == (pytest.approx(0.3**fewest), pytest.approx(0.7**fewest))
    assert found.unstable == pytest.approx(sequential.once(0.3, confidence, fewest))


def test_both_sides_are_alike():
    here, there = sequential.end(0.3, 0.9), sequential.end(0.7, 0.9)
    assert (here.unstable, here.seeds) == (pytest.approx(there.stable), pytest.approx(there.seeds))


@pytest.mark.parametrize(("p", "word"), [(0.0, "stable"), (1.0, "unstable")])
def test_without_chance_the_fewest_seeds_decide(p, word):
    found = sequential.end(p, 0.95)
    assert (getattr(found, word), found.seeds) == (1, 4)


def test_runs_that_are_never_decided_are_given_up_at_once():
    found = sequential.end(0.3, 0.95, lost=1.0)
    assert (found.given_up, found.seeds) == (1, 4)


def test_of_the_cells_that_are_decided_few_are_wrong_whatever_the_rule_of_stopping():
    """(1 - confidence) / 2, where P(unstable) is from Jeffreys' prior: the square of the sine of a uniform angle."""
    angles = [(index + 0.5) / 100 * math.pi / 2 for index in range(100)]
    found = [(math.sin(angle) ** 2, sequential.end(math.sin(angle) ** 2, 0.9)) for angle in angles]
    wrong = sum(each.unstable if p < 0.5 else each.stable for p, each in found)
    decided = sum(each.unstable + each.stable for _, each in found)
    assert 0.01 < wrong / decided < 0.05


@pytest.mark.parametrize(("confidence", "p"), [(0.9, 0.4), (0.95, 0.42), (0.99, 0.42)])
def test_only_near_one_half_it_errs_more_often_than_the_confidence_says(confidence, p):
    assert sequential.end(p, confidence).unstable <= 1 - confidence < sequential.end(p + 0.01, confidence).unstable


def test_the_tables_are_those_of_the_page():
    page = (HERE.parents[1] / "docs" / "labels.md").read_text()
    assert [line for line in sequential.tables() if line not in page] == []
