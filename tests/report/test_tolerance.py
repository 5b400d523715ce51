"""The stable region and what the batch size does to it, on maps whose answers are plain."""

import math

import pytest

from optiscope.report.inputs import Cell
from optiscope.report.tolerance import edge_power, pooled, tolerance


def row(*cells: tuple[float, str]) -> tuple[Cell, ...]:
    return tuple(
        Cell(
            judged={
                "lr": lr,
                "verdict": verdict,
                "p_unstable": {"unstable": 4 * (verdict == "unstable"), "decided": 4},
            },
            runs=(),
        )
        for lr, verdict in cells
    )


def test_the_region_and_what_lies_around_it() -> None:
    cells = row((1e-4, "unstable"), (1e-3, "stable"), (1e-2, "stable"), (0.1, "unstable"))
    found = tolerance(50, cells)
    assert (found.low, found.high, found.below, found.above) == (
        1e-3,
        1e-2,
        ((1e-4, "unstable"),),
        ((0.1, "unstable"),),
    )
    assert found.decades == (pytest.approx(1), pytest.approx(3))
    assert found.edge == pytest.approx(math.sqrt(1e-3))
    assert found.words == ("0.001 to 0.01", "1 to 3", "unstable at 0.0001", "unstable at 0.1")
    assert found.told == "0.001 to 0.01, 1 to 3 decades"


def test_what_is_undecided_bounds_nothing_and_is_named() -> None:
    lrs = (1e-4, "unstable"), (1e-3, "undecided"), (1e-2, "stable"), (0.1, "undecided"), (1.0, "unstable")
    found = tolerance(50, row(*lrs))
    assert found.decades == (0, pytest.approx(4))
    assert found.edge is None
    assert found.words[2:] == ("undecided at 0.001, unstable at 0.0001", "undecided at 0.1, unstable at 1")
    assert found.told == "0.01, 0 to 4 decades (undecided at 0.001 and 0.1)"
    found = tolerance(50, row(*lrs[:-1]))
    assert found.decades == (0, math.inf)


def test_the_widest_of_several_regions() -> None:
    lrs = (1e-5, "stable"), (1e-4, "unstable"), (1e-3, "stable"), (1e-2, "stable"), (0.1, "unstable"), (1.0, "stable")
    found = tolerance(50, row(*lrs))
    assert (found.low, found.high) == (1e-3, 1e-2)


def test_an_end_that_was_not_found_leaves_the_width_open() -> None:
    found = tolerance(50, row((1e-3, "stable"), (1e-2, "stable")))
    assert found.words == ("0.001 to 0.01", "1 or more", "not tried", "not tried")
    assert found.edge is None


def test_nothing_is_stable() -> None:
    found = tolerance(50, row((1e-3, "unstable"), (1e-2, "unstable")))
    assert (found.low, found.decades, found.edge) == (None, None, None)
    assert found.words[:2] == ("none of 2", "0")


@pytest.mark.parametrize("other", ["unstable", "undecided"])
def test_where_cells_are_undecided_it_cannot_be_said_that_none_is_stable(other: str) -> None:
    found = tolerance(50, row((1e-3, other), (1e-2, "undecided")))
    assert found.told == f"cannot be said: {1 + (other == 'undecided')} of 2 undecided"
    assert found.words[1] == "\N{EN DASH}"


@pytest.mark.parametrize("power", [-1.0, 0.0, 0.5])
def test_the_power_of_the_upper_edge(power: float) -> None:
    regions = [
        tolerance(size, row((0.1 * (size / 50) ** power, "stable"), (0.2 * (size / 50) ** power, "unstable")))
        for size in (50, 100, 200)
    ]
    assert edge_power(regions) == pytest.approx(power, abs=1e-12)


def test_one_edge_has_no_power() -> None:
    closed, open_ = row((0.1, "stable"), (0.2, "unstable")), row((0.1, "stable"))
    assert edge_power([tolerance(50, closed), tolerance(100, open_)]) is None


def test_only_shared_learning_rates_are_pooled() -> None:
    rows = {100: row((0.1, "unstable"), (1.0, "unstable")), 50: row((0.01, "unstable"), (0.1, "stable"))}
    found = pooled(rows)
    assert [(each.batch_size, each.unstable, each.decided) for each in found] == [(50, 0, 4), (100, 4, 4)]
    assert found[0].high == pytest.approx(1 - found[1].low)
    assert pooled({50: row((0.1, "stable")), 100: row((1.0, "stable"))}) == ()
    assert pooled({}) == ()
