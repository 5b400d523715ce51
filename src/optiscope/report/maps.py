"""The map: P(unstable) of one optimizer by learning rate and batch size, with its intervals.

A row a batch size, the largest at the top, and the learning rate along all of them. A row has P(unstable) from 0 to 1:
a point a cell at the mean, a bar over the interval. The tile behind it has the colour of the verdict, and the point
its shape, so that a map is read without colours too. A dotted line stands where theory has the largest stable learning
rate of that batch size.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import attrs

from optiscope.labels.cells import ONE_SEED
from optiscope.names import names_of
from optiscope.report.blocks import Columns, Figure
from optiscope.report.figures import INK, MUTED, TITLE, VERDICTS, captioned, panels, shorten, style
from optiscope.report.inputs import Cell, Document
from optiscope.report.tables import number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

SETTING = ("optimizer", "options", "reduction", "model", "data")
"""What cells of one map have in common."""

SHAPES = {"stable": "o", "unstable": "X", "undecided": "D"}
WIDTH, ROW, HEAD, FOOT = 3.5, 0.68, 0.28, 0.42
"""Inches: of a map, of a row, and of what is above and below the rows."""

TICKS = 5
ALONE = math.log(2)
"""Half the width of the tile of a learning rate that is the only one, on the logarithmic axis."""

FAR = math.log(30)
"""A closed form that is farther than this from all that was tried is not drawn."""


@attrs.frozen(kw_only=True, eq=False)
class Map:
    """The cells of one optimizer in one setting; `name` tells it from the other maps."""

    name: str
    cells: tuple[Cell, ...]

    @property
    def rows(self) -> dict[int, tuple[Cell, ...]]:
        """The cells of each batch size, the largest first, by learning rate."""
        found: dict[int, list[Cell]] = {}
        for cell in self.cells:
            found.setdefault(int(cell.judged["batch_size"]), []).append(cell)
        return {size: tuple(sorted(row, key=lr_of)) for size, row in sorted(found.items(), reverse=True)}

    @property
    def limits(self) -> dict[int, float]:
        """The largest stable learning rate of a batch size by theory, where it is known; the smallest first."""
        known = {
            size: limit for size, row in self.rows.items() for cell in row if (limit := cell.stable_lr) is not None
        }
        return dict(sorted(known.items()))

    @property
    def near(self) -> dict[int, float]:
        """Those of `limits` that are drawn: not too far from all that was tried."""
        lrs = sorted({lr_of(cell) for cell in self.cells})
        return {size: limit for size, limit in self.limits.items() if _distance(limit, lrs) < FAR}

    @property
    def theory(self) -> str:
        """The same in words; empty where nothing is known."""
        limits = self.limits
        if not limits:
            return ""
        if len(set(limits.values())) == 1:
            return f"largest stable lr by theory: {number(next(iter(limits.values())))}"
        told = ", ".join(f"{number(limit)} at batch {size}" for size, limit in limits.items())
        return f"largest stable lr by theory: {told}"


def lr_of(cell: Cell) -> float:
    """Return the learning rate of a cell."""
    return float(cell.judged["lr"])


def maps(cells: Iterable[Cell]) -> tuple[Map, ...]:
    """Return a map for each optimizer in each setting, in the order of the cells; cells without an lr are left out."""
    groups: dict[str, list[Cell]] = {}
    for cell in cells:
        if isinstance(cell.judged.get("lr"), (int, float)) and cell.judged["lr"] > 0 and cell.judged.get("batch_size"):
            groups.setdefault(_setting(cell.judged), []).append(cell)
    names = names_of([json.loads(setting) for setting in groups])
    return tuple(Map(name=name, cells=tuple(found)) for name, found in zip(names, groups.values(), strict=True))


def _setting(judged: Document) -> str:
    return json.dumps({name: judged.get(name) for name in SETTING}, default=str)


def map_figure(found: Map, key: str) -> Figure:
    """Return the figure of a map, with its data."""
    counts = [str(cell.judged.get("verdict")) for cell in found.cells]
    told = ", ".join(f"{counts.count(verdict)} {verdict}" for verdict in sorted(set(counts)))
    label = f"P(unstable) of {found.name} by learning rate and batch size: {told}. {found.theory}".strip()
    return Figure(
        key=key,
        label=label,
        caption=captioned(found.name, f"{told}{'; ' if found.theory else ''}{found.theory}"),
        draw=lambda: draw_map(found),
        data=lambda: map_data(found),
    )


def map_data(found: Map) -> Columns:
    """Return a row a cell: what it is, its verdict, P(unstable) with its interval, and what theory says."""
    cells = [cell for row in reversed(found.rows.values()) for cell in row]
    judged = [cell.judged for cell in cells]
    columns: dict[str, list[Any]] = {name: [each.get(name) for each in judged] for name in ("batch_size", "lr")}
    columns["verdict"] = [each.get("verdict") for each in judged]
    for name in ("mean", "low", "high", "unstable", "decided", "undecided"):
        columns[name] = [(each.get("p_unstable") or {}).get(name) for each in judged]
    columns["theory"] = [cell.stable_lr for cell in cells]
    return columns


@style()
def draw_map(found: Map) -> Drawing:
    """Draw a map; see the module's docstring."""
    rows, near = found.rows, found.near
    figure, axes = panels((WIDTH, HEAD + ROW * len(rows) + FOOT), len(rows), HEAD)
    every = sorted({lr_of(cell) for cell in found.cells})
    for ax, (size, row) in zip(axes, rows.items(), strict=True):
        tiles = edges([lr_of(cell) for cell in row])
        for cell, (left, right) in zip(row, tiles, strict=True):
            _draw_cell(ax, cell, left, right)
        ax.axhline(0.5, color=MUTED, linewidth=0.7, linestyle="--")
        if size in near:
            ax.axvline(near[size], color=INK, linewidth=1.2, linestyle=":")
        ax.set_ylim(-0.1, 1.1)
        ax.set_yticks([0, 0.5, 1], ["0", ".5", "1"])
        ax.set_ylabel(f"batch {size}", fontsize=7)
        ax.tick_params(labelbottom=False)
    _lr_axis(axes, every, list(near.values()))
    axes[0].set_title(shorten(found.name, TITLE), loc="left", parse_math=False)
    return figure


def edges(lrs: Sequence[float]) -> list[tuple[float, float]]:
    """Return where the tile of each learning rate, in rising order, begins and ends: half-way to the next in log lr."""
    at = [math.log(lr) for lr in lrs]
    middles = [(one + other) / 2 for one, other in pairwise(at)]
    first = 2 * at[0] - middles[0] if middles else at[0] - ALONE
    last = 2 * at[-1] - middles[-1] if middles else at[-1] + ALONE
    ends = [math.exp(end) for end in (first, *middles, last)]
    return list(pairwise(ends))


def _distance(limit: float, lrs: Sequence[float]) -> float:
    return max(math.log(lrs[0] / limit), math.log(limit / lrs[-1]), 0.0)


def _draw_cell(ax: Axes, cell: Cell, left: float, right: float) -> None:
    verdict, p = str(cell.judged.get("verdict")), cell.judged.get("p_unstable") or {}
    colour = VERDICTS.get(verdict, INK)
    ax.axvspan(left, right, color=colour, alpha=0.16, linewidth=0)
    if any(p.get(name) is None for name in ("low", "mean", "high")):
        return
    alone = cell.judged.get("confidence") == ONE_SEED
    ax.vlines(lr_of(cell), p["low"], p["high"], color=colour, linewidth=1.2)
    face = "none" if alone else colour
    shape = SHAPES.get(verdict, "s")
    ax.plot([lr_of(cell)], [p["mean"]], shape, color=colour, markerfacecolor=face, markersize=4.5)


def _lr_axis(axes: Sequence[Axes], lrs: Sequence[float], limits: Sequence[float]) -> None:
    """Give all rows one logarithmic axis whose ticks are learning rates that were tried."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    tiles = edges(lrs)
    low, high = min([tiles[0][0], *limits]), max([tiles[-1][1], *limits])
    margin = (high / low) ** 0.02
    ticks = [lrs[0]]
    for lr in lrs[1:]:
        if math.log(lr / ticks[-1]) >= math.log(high / low) / TICKS:
            ticks.append(lr)
    for ax in axes:
        ax.set_xscale("log")
        ax.set_xlim(low / margin, high * margin)
        ax.xaxis.set_major_locator(FixedLocator(ticks))
        ax.xaxis.set_minor_locator(NullLocator())
        ax.xaxis.set_major_formatter(FuncFormatter(lambda lr, _: f"{lr:.3g}"))
    axes[-1].tick_params(labelbottom=True)
    axes[-1].set_xlabel("learning rate")
