import numpy as np
import pytest

from optiscope.labels import Probability
from optiscope.labels.claims import BATCH_SIZES, CLAIMS, agreement


def measured(unstable: dict, runs: int = 5):
    """Return P(unstable) of the paper's cells after `runs` seeds that all agree."""
    cells = {}
    for family in ("sgd", "adam"):
        for size in BATCH_SIZES:
            k = runs * unstable.get((family, size), False)
            cells[family, size] = Probability(unstable=k, decided=runs, undecided=0, mean=0.5, low=0, high=1)
    return cells


def test_only_two_cells_are_the_same_in_all_four_places():
    said = {place: {claim.get(place) for claim in CLAIMS.values()} for place in CLAIMS["the conclusion"]}
    alike = {
        place: answers.pop() for place, answers in said.items() if len(answers - {None}) == 1 and None not in answers
    }
    assert alike == {("adam", 50): True}
    assert said["adam", 100] == {False, None}


@pytest.mark.parametrize("claim", CLAIMS)
def test_runs_as_claimed_agree_as_far_as_their_number_allows(claim):
    found = agreement(claim, measured(CLAIMS[claim], runs=5))
    assert found.mean == pytest.approx(5.5 / 6)  # the posterior mean after five of five, in every cell
    assert found.low < found.mean < found.high < 1
    assert found.claimed == found.measured == len(CLAIMS[claim])


def test_the_opposite_of_a_claim_agrees_as_little():
    claim = "the conclusion"
    found = agreement(claim, measured({place: not said for place, said in CLAIMS[claim].items()}, runs=5))
    assert found.mean == pytest.approx(0.5 / 6)


def test_the_interval_is_that_of_a_mean_of_independent_beta_variables():
    claim = "the conclusion"
    found = agreement(claim, measured(CLAIMS[claim], runs=5))
    cells = len(CLAIMS[claim])
    variance = 5.5 * 0.5 / (6**2 * 7) / cells
    assert found.high - found.low == pytest.approx(2 * 1.96 * np.sqrt(variance), rel=0.1)


def test_chance_is_what_shuffled_claims_reach():
    claim = "section V.B, the prose"
    everything = agreement(claim, measured(dict.fromkeys(CLAIMS[claim], True), runs=50))
    share = np.mean(list(CLAIMS[claim].values()))
    assert everything.chance == pytest.approx(everything.mean)  # all alike: a claim cannot know better
    assert everything.mean == pytest.approx(share, abs=0.01)


def test_cells_without_a_decided_run_are_told_of_and_widen_the_interval():
    claim = "the conclusion"
    cells = measured(CLAIMS[claim], runs=5)
    fewer = {**cells, ("sgd", 50): Probability(unstable=0, decided=0, undecided=5, mean=0.5, low=0, high=1)}
    found, all_of_them = agreement(claim, fewer), agreement(claim, cells)
    assert found.measured == found.claimed - 1
    assert found.high - found.low > all_of_them.high - all_of_them.low
