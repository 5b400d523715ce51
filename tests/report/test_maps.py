"""The map: which cells it holds, where it draws them, and what its data are."""

from typing import Any

import numpy as np
import pytest
from matplotlib.colors import to_hex

from optiscope.report.figures import INK, VERDICTS
from optiscope.report.inputs import Cell, RunFile
from optiscope.report.maps import SHAPES, draw_map, edges, map_data, map_figure, maps


def cell(lr: float = 0.1, batch: int = 50, verdict: str = "stable", limit: float | None = None, **more: Any) -> Cell:
    p = {"mean": 0.25, "low": 0.05, "high": 0.6, "unstable": 1, "decided": 4, "undecided": 0}
    judged = {"optimizer": "sgd", "options": {}, "reduction": "mean", "model": "m", "data": "d", "confidence": 0.95}
    judged |= {"batch_size": batch, "lr": lr, "verdict": verdict, "p_unstable": p} | more
    return Cell(judged=judged, runs=(RunFile(judged={}, config={"stable_lr": limit}),))


def test_tiles_meet_half_way_between_learning_rates() -> None:
    assert edges([0.01, 0.1, 1.0]) == [
        (pytest.approx(10**-2.5), pytest.approx(10**-1.5)),
        (pytest.approx(10**-1.5), pytest.approx(10**-0.5)),
        (pytest.approx(10**-0.5), pytest.approx(10**0.5)),
    ]
    assert edges([0.1]) == [(pytest.approx(0.05), pytest.approx(0.2))]


def test_a_map_for_each_optimizer_in_each_setting() -> None:
    cells = [cell(), cell(batch=100), cell(optimizer="adam"), cell(reduction="sum"), cell(options={"beta": 0.5})]
    assert [(each.name, len(each.cells)) for each in maps(cells)] == [
        ("sgd, mean", 2),
        ("adam", 1),
        ("sgd, sum", 1),
        ("sgd(beta=0.5), mean", 1),
    ]


def test_cells_without_an_lr_are_in_no_map() -> None:
    assert maps([cell(lr=None), cell(batch=None)]) == ()


def test_a_row_a_batch_size_the_largest_first_and_cells_by_learning_rate() -> None:
    (found,) = maps([cell(0.1, 50), cell(0.01, 50), cell(0.1, 200)])
    assert {size: [each.judged["lr"] for each in row] for size, row in found.rows.items()} == {
        200: [0.1],
        50: [0.01, 0.1],
    }
    assert list(found.rows) == [200, 50]


def test_every_cell_is_drawn_where_it_belongs() -> None:
    (found,) = maps([cell(0.01, 50, limit=0.5), cell(0.1, 50, "unstable"), cell(0.1, 200, "undecided")])
    above, below = draw_map(found).axes
    points = [line for line in below.lines if line.get_marker() in SHAPES.values()]
    assert [(line.get_xdata()[0], line.get_ydata()[0], line.get_marker()) for line in points] == [
        (0.01, 0.25, "o"),
        (0.1, 0.25, "X"),
    ]
    assert [to_hex(line.get_color()) for line in points] == [VERDICTS["stable"], VERDICTS["unstable"]]
    bar = below.collections[0].get_segments()[0]
    np.testing.assert_allclose(bar, [[0.01, 0.05], [0.01, 0.6]])
    theory = [line.get_xdata()[0] for line in below.lines if to_hex(line.get_color()) == INK]
    assert theory == [0.5]
    assert not [line for line in above.lines if to_hex(line.get_color()) == INK]
    assert above.get_xlim() == below.get_xlim()
    assert above.get_xlim()[1] > 0.5
    assert (above.get_ylabel(), below.get_ylabel()) == ("batch 200", "batch 50")


def test_what_theory_says_is_told_once_or_for_each_batch_size() -> None:
    (same,) = maps([cell(batch=50, limit=2.0), cell(batch=200, limit=2.0)])
    assert map_figure(same, "map-1").caption == "2 stable; largest stable lr by theory: 2"
    (other,) = maps([cell(batch=200, limit=1.0), cell(batch=50, limit=4.0), cell(batch=10)])
    assert "by theory: 4 at batch 50, 1 at batch 200" in map_figure(other, "map-1").label


def test_a_limit_far_away_does_not_squeeze_the_map() -> None:
    (found,) = maps([cell(0.001, limit=2.0), cell(0.002)])
    assert draw_map(found).axes[0].get_xlim()[1] < 0.01


def test_one_seed_is_hollow() -> None:
    (found,) = maps([cell(confidence="one seed"), cell(lr=1.0)])
    faces = [line.get_markerfacecolor() for line in draw_map(found).axes[0].lines if line.get_marker() == "o"]
    assert faces[0] == "none"
    assert faces[1] != "none"


def test_a_cell_that_nobody_counted_is_a_tile_alone() -> None:
    (found,) = maps([cell(p_unstable=None)])
    ax = draw_map(found).axes[0]
    assert len(ax.patches) == 1
    assert not ax.collections


def test_the_data_are_those_of_the_document() -> None:
    (found,) = maps([cell(0.1, 200, limit=2.0), cell(0.1, 50, "unstable")])
    data = map_data(found)
    assert data["batch_size"] == [50, 200]
    assert data["verdict"] == ["unstable", "stable"]
    assert data["high"] == [0.6, 0.6]
    assert data["theory"] == [None, 2.0]
