"""The figure of a search for the largest stable learning rate: max-lr.json in, max-lr.svg out.

A panel for each optimizer at each batch size, along the logarithm of the learning rate. Runs stand where theirs is:
stable ones at 0, unstable ones at 1, undecided ones between. Over them lie the fitted P(unstable), the interval on its
middle, and as a dashed line what theory says. A search goes out by factors of 4 and ends within percents, so a panel
shows the surroundings of the boundary, and arrows count the runs beyond its edges.

A report on the same folder has the panels one by one, with a table (`max_lr_sections`).

Everything is drawn from the document: the same file gives the same bytes.
"""

from __future__ import annotations

import io
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from optiscope.analysis import Trial, unstable_share
from optiscope.errors import FileError
from optiscope.names import names_of
from optiscope.report.blocks import Block, Gallery, Legend, Mark, Section, Table
from optiscope.report.blocks import Figure as ReportFigure
from optiscope.report.figures import INK, MUTED, SIGNAL, SIZE, VERDICTS, panels, shorten, style
from optiscope.report.legends import THEORY, shapes, there
from optiscope.report.tables import number
from optiscope.whole import write_whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Document = Mapping[str, Any]
"""What was found by one search: an object of max-lr.json."""

FILE_NAME = "max-lr.json"
SETTING = ("optimizer", "options", "model", "reduction")
COLUMNS_OF_TABLE = ("lr_max", "low", "high", "lr_5_percent", "closed_form")

PLACES = {"stable": (0.0, "o"), "unstable": (1.0, "X"), "undecided": (0.5, "D")}
"""Height and marker of a run."""

MARK: Any = {"markersize": 6.0, "markeredgecolor": "white", "markeredgewidth": 0.4}

COLUMNS = 4
WIDTH, HEIGHT, HEAD = 3.1, 2.35, 0.62
"""Of a panel, and of what stands above all of them, in inches."""

MARGIN = 0.7
"""What a panel shows on either side of interval and theory, in units of their logarithmic distance."""

FARTHEST = 16.0
"""A closed form that lies farther from the interval than by this factor is told, and not drawn."""


def draw_max_lr(path: Path) -> Path:
    """Draw the document in the file `path`, and return the file of the figure: beside it, with the suffix .svg."""
    figure = max_lr_figure(_read(path))
    buffer = io.StringIO()
    with style():
        metadata = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(buffer, format="svg", facecolor="white", metadata=metadata)
    target = path.with_suffix(".svg")
    write_whole(target, buffer.getvalue())
    return target


def max_lr_sections(out: Path) -> tuple[Block, ...]:
    """Return what a report says of the searches in `out`, if there were any; FileError where their file is damaged."""
    path = out / FILE_NAME
    if not path.exists():
        return ()
    found = _read(path)
    names = _names(found)
    rows = tuple(
        (name, str(each["batch_size"]), *(number(each[key]) for key in COLUMNS_OF_TABLE), str(each.get("why", "")))
        for name, each in zip(names, found, strict=True)
    )
    caption = (
        "Half of the runs are unstable at 'max lr', with its interval from low to high; 5 % of them at 'at 5 %'. "
        "'Theory' is the closed form, where there is one."
    )
    heads = ("optimizer", "batch", "max lr", "low", "high", "at 5 %", "theory", "why")
    figures = tuple(_figure(at, name, each) for at, (name, each) in enumerate(zip(names, found, strict=True), start=1))
    table = Table(caption=caption, heads=heads, rows=rows, numbers=tuple(range(1, 7)))
    return (
        Section(title="Largest stable learning rate", body=(table, Gallery(figures=figures, legend=_legend(found)))),
    )


def _legend(found: Sequence[Document]) -> Legend:
    interval = f"fitted P(unstable), and the {100 * found[0]['confidence']:g} % interval on its middle"
    marks: tuple[tuple[Mark, str, bool], ...] = (
        ("outcomes", f"runs: {shapes(_outcomes(found))}", bool(_outcomes(found))),
        ("spread", interval, any(map(_fitted, found))),
        ("theory", THEORY, any(map(_theory_drawn, found))),
    )
    return there(marks)


def _outcomes(found: Sequence[Document]) -> set[str]:
    """Return the outcomes that panels mark."""
    return {run["result"] for each in found for run in each["evidence"]} & set(PLACES)


def _fitted(each: Document) -> bool:
    return each["lr_max"] is not None


def _theory_drawn(each: Document) -> bool:
    """Say whether a panel reaches as far as the closed form."""
    low, high = _limits(each)
    return each["closed_form"] is not None and low <= each["closed_form"] <= high


def _read(path: Path) -> list[Document]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        found = document if isinstance(document, list) else [document]
        for each in found:
            _ = each["optimizer"], each["batch_size"], each["evidence"], each["confidence"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FileError(f"{path} is damaged ({error}): write it anew with 'optiscope max-lr --resume'") from error
    return found


def _names(found: Sequence[Document]) -> list[str]:
    return names_of([{name: each.get(name) for name in SETTING} for each in found])


def _figure(at: int, name: str, each: Document) -> ReportFigure:
    """Return the panel of one search, with its runs as data."""
    results = [str(run["result"]) for run in each["evidence"]]
    counts = ", ".join(
        f"{results.count(result)} {result}" for result in dict.fromkeys((*PLACES, *results)) if result in results
    )
    return ReportFigure(
        key=f"max-lr-{at}",
        label=f"P(unstable) of {name} at batch {each['batch_size']} against the learning rate: {_said(each)}",
        caption=f"runs: {counts}",
        draw=lambda: _alone(name, each),
        data=lambda: {key: [run.get(key) for run in each["evidence"]] for key in ("lr", "seed", "result", "run_id")},
    )


@style()
def _alone(name: str, each: Document) -> Figure:
    figure, (ax,) = panels(SIZE, 1)
    _panel(ax, name, each)
    ax.set_xlabel("learning rate")
    ax.set_ylabel("P(unstable)")
    return figure


@style()
def max_lr_figure(found: Sequence[Document]) -> Figure:
    """Draw a panel a search, a row of them an optimizer where there are several batch sizes."""
    from matplotlib.figure import Figure

    sizes = len({each["batch_size"] for each in found})
    columns = min(len(found) if sizes == 1 else sizes, COLUMNS)
    rows = math.ceil(len(found) / columns)
    width, height = max(columns * WIDTH, 1.4 * WIDTH), rows * HEIGHT + HEAD
    figure = Figure(figsize=(width, height))
    panel = width / columns
    figure.subplots_adjust(
        left=0.55 / width,
        right=1 - 0.15 / width,
        bottom=0.45 / height,
        top=1 - (HEAD + 0.45) / height,
        wspace=0.5 / (panel - 0.5),
        hspace=0.9 / (HEIGHT - 0.9),
    )
    for at, (name, each) in enumerate(zip(_names(found), found, strict=True)):
        ax = figure.add_subplot(rows, columns, at + 1)
        _panel(ax, name, each)
        if at % columns == 0:
            ax.set_ylabel("P(unstable)")
        if at + columns >= len(found):
            ax.set_xlabel("learning rate")
    _head(figure, found, width, height)
    return figure


def _panel(ax: Axes, name: str, each: Document) -> None:
    trials = _trials(each)
    low, high = _limits(each)
    ax.set_xscale("log")
    ax.set_xlim(low, high)
    ax.set_ylim(-0.14, 1.14)
    ax.set_yticks([0, 0.5, 1])
    _ticks(ax, low, high)
    if each["low"] is not None and each["high"] is not None:
        ax.axvspan(each["low"], each["high"], color=SIGNAL, alpha=0.16, linewidth=0)
    lrs = np.geomspace(low, high, 400)
    if (share := unstable_share(trials, lrs.tolist())) is not None:
        ax.plot(lrs, share, color=SIGNAL, linewidth=1.5)
    if _theory_drawn(each):
        ax.axvline(each["closed_form"], color=INK, linewidth=1.0, linestyle=(0, (4, 2.5)))
    for outcome in PLACES:
        _runs(ax, outcome, [trial.lr for trial in trials if trial.outcome == outcome], low, high)
    ax.set_title(f"{shorten(name, 32)}, batch {each['batch_size']}\n", loc="left", parse_math=False)
    ax.annotate(_said(each), (0, 1), xycoords="axes fraction", xytext=(0, 5), textcoords="offset points", color=MUTED)


def _trials(each: Document) -> list[Trial]:
    return [Trial(run["lr"], run["result"]) for run in each["evidence"] if run["result"] in PLACES]


def _limits(each: Document) -> tuple[float, float]:
    """Return the smallest and the largest lr that a panel shows."""
    lrs = [trial.lr for trial in _trials(each)]
    known = [each[key] for key in ("low", "high", "lr_max") if each[key] is not None]
    if len(known) < 3:  # no boundary: all that there is
        known = [*known, *lrs] or [1.0]
    theory = each["closed_form"]
    if theory is not None and max(known) / FARTHEST < theory < min(known) * FARTHEST:
        known.append(theory)
    low, high = math.log(min(known)), math.log(max(known))
    margin = MARGIN * (high - low) if len(known) > 1 and high > low else 1.0
    return math.exp(low - margin), math.exp(high + margin)


def _ticks(ax: Axes, low: float, high: float) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

    wide = high / low > 8
    ax.xaxis.set_major_locator(LogLocator(subs=(1.0,) if high / low > 100 else (1.0, 3.0)) if wide else MaxNLocator(4))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(lambda lr, _: f"{lr:.5g}"))


def _runs(ax: Axes, outcome: str, lrs: Sequence[float], low: float, high: float) -> None:
    """Mark the runs with one outcome, and count those beyond the edges."""
    height, marker = PLACES[outcome]
    colour = VERDICTS[outcome]
    inside = [lr for lr in lrs if low <= lr <= high]
    ax.plot(inside, [height] * len(inside), marker, color=colour, clip_on=False, **MARK)
    less, more = sum(lr < low for lr in lrs), sum(lr > high for lr in lrs)
    for count, text, place, side in ((less, f"\u2190 {less}", 0.01, "left"), (more, f"{more} \u2192", 0.99, "right")):
        if count:
            where: Any = {"ha": side, "va": "center", "transform": ax.get_yaxis_transform()}
            ax.text(place, height + 0.16 * (height - 0.5), text, color=colour, fontsize=7.5, **where)


def _said(each: Document) -> str:
    """Return the result in words, in one line."""
    if each["lr_max"] is not None:
        said = f"{each['lr_max']:.4g} ({each['low']:.4g} to {each['high']:.4g})"
    elif each["low"] is not None:
        said = f"above {each['low']:.4g}"
    elif each["high"] is not None:
        said = f"below {each['high']:.4g}, if anywhere"
    else:
        said = "not known"
    return said if each["closed_form"] is None else f"{said}, theory {each['closed_form']:.4g}"


def _head(figure: Figure, found: Sequence[Document], width: float, height: float) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    models = ", ".join(dict.fromkeys(str(each["model"]) for each in found))
    title = f"Largest stable learning rate, {models}"
    figure.text(0.12 / width, 1 - 0.1 / height, title, fontsize=10, fontweight="bold", va="top", parse_math=False)
    outcomes = _outcomes(found)
    handles: list[Any] = [
        Line2D([], [], linestyle="", marker=marker, color=VERDICTS[outcome], label=outcome, **MARK)
        for outcome, (_, marker) in PLACES.items()
        if outcome in outcomes
    ]
    if any(map(_fitted, found)):
        handles.append(Line2D([], [], color=SIGNAL, label="fitted P(unstable)"))
        handles.append(
            Patch(color=SIGNAL, alpha=0.16, linewidth=0, label=f"{100 * found[0]['confidence']:g} % interval")
        )
    if any(map(_theory_drawn, found)):
        handles.append(Line2D([], [], color=INK, linewidth=1.0, linestyle=(0, (4, 2.5)), label="theory"))
    if not handles:
        return
    figure.legend(
        handles=handles,
        loc="upper left",
        bbox_to_anchor=(0.05 / width, 1 - 0.26 / height),
        ncols=len(handles) if width > 5.5 else 3,
        frameon=False,
        fontsize=7.5,
        handlelength=1.6,
        columnspacing=1.2,
    )
