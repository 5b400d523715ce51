"""The figures: data in, `matplotlib.figure.Figure` out.

Figures are made through matplotlib's object interface, with its own defaults rather than the user's, so that
nothing global changes and the same data give the same drawing. Colours are roles (`INK`, `SIGNAL` ...): the page
replaces each by a CSS variable, which is how one figure can be read on a light and on a dark background.

`signal_panel` is a panel of the seed paper's Figure 6 as this program draws it; `training_panel` shows whether the
run trained at all.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from optiscope.report.inputs import Floats, Track
from optiscope.report.measures import at_epochs, has_accuracy, over_seeds

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, MUTED, GRID = "#1b2330", "#5a6472", "#d8dde4"
SIGNAL, MINIMUM, MEDIAN, ALARM = "#2c7ab8", "#a9b4c0", "#b4530a", "#c3263a"
CARD = "#ffffff"
VERDICTS = {"stable": "#1f7a45", "unstable": ALARM, "undecided": "#8a6100"}

ROLES = {
    "ink": INK,
    "muted": MUTED,
    "grid": GRID,
    "signal": SIGNAL,
    "minimum": MINIMUM,
    "median": MEDIAN,
    "alarm": ALARM,
    "stable": VERDICTS["stable"],
    "undecided": VERDICTS["undecided"],
    "card": CARD,
}
"""Role to colour on a light background; no two alike."""

POINTS = 1200
"""Points that a line of a panel may have: three or four to a pixel."""

MOST_OTHERS = 8
"""Other seeds that are drawn in a panel of the signal."""

MOST_ALARMS = 4
"""Alarms that are drawn in it, the first ones."""

OUTLIER = 4.0
"""A run whose signal spans so many times the median span of all has a y scale of its own."""

TITLE = 42
"""Characters that a title may have: as many as fit above a panel."""

BLOWN_UP = 10.0
"""A loss that rises to so many times its first value is drawn on a logarithmic scale."""

SIZE = (3.5, 2.6)
SIZE_TRAINING = (3.5, 3.3)
LEFT, RIGHT = 0.64, 0.22
"""Margins in inches; half of the label of a step of six digits has room in the right one."""

Limits = tuple[float, float]

_STYLE: Any = {
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "font.size": 8.0,
    "axes.titlesize": 8.5,
    "axes.titley": 1.0,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "svg.fonttype": "none",
    "svg.hashsalt": "optiscope",
}


@contextmanager
def style() -> Iterator[None]:
    """Draw with matplotlib's defaults and the report's style, whatever the user's matplotlibrc says."""
    import matplotlib

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)
        yield


def thin(step: Floats, values: Floats, points: int = POINTS) -> tuple[Floats, Floats]:
    """Return at most about `points` of the pairs, among them the smallest and the largest value of each stretch.

    Values that are not finite become gaps (NaN). A line through the result covers the same pixels as one through
    all the points.
    """
    values = np.where(np.isfinite(values), values, np.nan)
    if step.size <= points:
        return step, values
    keep: set[int] = {0, step.size - 1}
    for part in np.array_split(np.arange(step.size), points // 2):
        finite = part[np.isfinite(values[part])]
        if finite.size:
            keep |= {int(finite[np.argmin(values[finite])]), int(finite[np.argmax(values[finite])])}
        if finite.size < part.size:
            keep.add(int(part[~np.isfinite(values[part])][0]))
    kept = np.array(sorted(keep))
    return step[kept], values[kept]


def span(track: Track) -> Limits | None:
    """Return the smallest and largest finite value that a signal panel draws, or None where there is none."""
    drawn = np.concatenate([track.signal, track.batch_min])
    drawn = drawn[np.isfinite(drawn)]
    return (float(drawn.min()), float(drawn.max())) if drawn.size else None


def shared_limits(tracks: Sequence[Track], verdicts: Sequence[str] = ()) -> tuple[Limits | None, ...]:
    """Return for each track the y limits that its panel shares with the others, or None for a scale of its own.

    A track whose values span more than `OUTLIER` times the median span gets its own: beside a run that blew up,
    every other would be a flat line. Where `verdicts` are given, the median is that of the runs that came to their end
    and are not unstable, if there are any, so that it holds too where most blew up, or broke off after a few steps.
    """
    spans = [span(track) for track in tracks]
    judged = zip(tracks, spans, verdicts, strict=False)
    calm = [found for track, found, verdict in judged if found and verdict != "unstable" and track.ended]
    widths = [high - low for low, high in calm or filter(None, spans)]
    most = OUTLIER * float(np.quantile(widths, 0.5, method="lower")) if widths else 0.0
    kept = [found if found and found[1] - found[0] <= most else None for found in spans]
    low = min((low for low, _ in filter(None, kept)), default=0.0)
    high = max((high for _, high in filter(None, kept)), default=0.0)
    margin = 0.04 * (high - low) or 1.0
    return tuple((low - margin, high + margin) if found else None for found in kept)


@style()
def signal_panel(
    track: Track,
    title: str,
    verdict: str,
    limits: Limits | None = None,
    others: Sequence[Track] = (),
    points: int = POINTS,
) -> Figure:
    """Draw one cell's signal against the step: 5 % quantile and batch minimum, envelope, burn-in, alarms.

    `limits` are the y limits that the panels share; None gives the panel a scale of its own, linear up to one and
    logarithmic beyond. `others` are runs of the same cell with other seeds: of each, only the median of the envelope
    is drawn. No line has more than about so many `points`.
    """
    figure, axes = panels(SIZE, 1)
    ax = axes[0]
    _line(ax, points, track.step, track.batch_min, color=MINIMUM, linewidth=0.6, label="minimum over the batch")
    _line(ax, points, track.step, track.signal, color=SIGNAL, linewidth=0.7, label="5 % quantile")
    for other in others[:MOST_OTHERS]:
        if envelope := other.envelope:
            few = points // 4
            _line(ax, few, envelope.step, envelope.median, color=MUTED, linewidth=0.8, linestyle="--")
    if envelope := track.envelope:
        step, median = thin(envelope.step, envelope.median, points // 2)
        kept = np.searchsorted(envelope.step, step)
        ax.fill_between(step, envelope.low[kept], envelope.high[kept], color=MEDIAN, alpha=0.22, linewidth=0)
        ax.plot(step, median, color=MEDIAN, linewidth=1.1)
    ax.axvspan(0, track.bound.burn, color=MUTED, alpha=0.13, linewidth=0)
    _mark(ax, track)
    _alarms(ax, track)
    _x_axis(ax, track)
    if limits:
        ax.set_ylim(*limits)
        ax.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    else:
        _own_scale(ax, span(track))
    ax.set_ylabel(track.output if limits else f"{track.output} (own scale, symlog)")
    write_title(ax, title, verdict)
    return figure


@style()
def training_panel(
    track: Track, title: str, verdict: str, others: Sequence[Track] = (), points: int = POINTS
) -> Figure:
    """Draw one run's training loss above its accuracy: batches and their running median, and all test images.

    `others` are runs of the same cell with other seeds: with them the line is the median over all seeds of the running
    medians, and the band reaches from the least to the greatest; so do the bars of the test accuracy. Where no accuracy
    was measured, the loss is alone.
    """
    tracks = (track, *others)
    figure, (above, *below) = panels(SIZE_TRAINING, 2) if has_accuracy(tracks) else panels(SIZE, 1)
    finite = [each.loss[np.isfinite(each.loss) & (each.loss > 0)] for each in tracks]
    blown_up = any(loss.size and float(loss.max()) > BLOWN_UP * float(loss[0]) for loss in finite)
    for ax, name in zip((above, *below), ("loss", "accuracy"), strict=False):
        seeds = over_seeds([getattr(each, name) for each in tracks])
        if others:
            ax.fill_between(seeds.step, seeds.low, seeds.high, color=SIGNAL, alpha=0.3, linewidth=0)
        else:
            _line(ax, points, track.step, getattr(track, name), color=MINIMUM, linewidth=0.6)
        if others or seeds.smooth:
            _line(ax, points, seeds.step, seeds.middle, color=SIGNAL, linewidth=1.3)
        _mark(ax, track)
        _x_axis(ax, max(tracks, key=lambda each: each.step.size))
    if blown_up:
        _log_axis(above)
    else:
        above.set_ylim(bottom=0)
    above.set_ylabel("loss (log)" if blown_up else "loss")
    for ax in below:
        above.set_xlabel("")
        above.tick_params(labelbottom=False)
        tested = at_epochs(tracks)
        ax.plot(tested.step, tested.middle, color=MEDIAN, linewidth=1.0, marker="o", markersize=3.5)
        if others:
            ax.vlines(tested.step, tested.low, tested.high, color=MEDIAN, linewidth=1.0)
        ax.set_ylim(0, 1)
        ax.set_ylabel("accuracy")
    write_title(above, title, verdict)
    return figure


def panels(size: tuple[float, float], rows: int, head: float = 0.42) -> tuple[Figure, list[Axes]]:
    """Return an empty figure of `size` inches with `rows` of axes, whose margins are the same in all figures.

    `head` is the upper one, for two lines of title.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=size)
    width, height = size  # margins in inches, the same in all figures: panels side by side line up
    figure.subplots_adjust(
        left=LEFT / width, right=1 - RIGHT / width, bottom=0.42 / height, top=1 - head / height, hspace=0.12
    )
    axes = [figure.add_subplot(rows, 1, row + 1) for row in range(rows)]
    for ax in axes:
        ax.yaxis.set_label_coords(-0.48 / (width - LEFT - RIGHT), 0.5)
    return figure, axes


def _own_scale(ax: Axes, values: Limits | None) -> None:
    from matplotlib.ticker import FixedLocator, MaxNLocator

    ax.set_yscale("symlog", linthresh=1.0)
    low, high = values or (0.0, 0.0)
    ax.set_ylim(low - 0.5 * abs(low) - 0.1, high + 0.5 * abs(high) + 0.1)
    flat = max(abs(low), abs(high)) < 1
    ax.yaxis.set_major_locator(MaxNLocator(5) if flat else FixedLocator(symlog_ticks(low, high)))
    if flat:
        ax.yaxis.set_major_formatter(lambda value, _: f"{value:g}")


def _log_axis(ax: Axes) -> None:
    """Give an axis a logarithmic scale, with so many ticks that a few are on it and none lies on another."""
    from matplotlib.ticker import LogLocator, NullFormatter

    ax.set_yscale("log")
    low, high = ax.get_ylim()
    subs = (1.0, 2.0, 5.0) if high < 30 * low else (1.0, 3.0) if high < 300 * low else (1.0,)
    ax.yaxis.set_major_locator(LogLocator(subs=subs, numticks=5))
    ax.yaxis.set_minor_formatter(NullFormatter())
    if high < 1e5:
        ax.yaxis.set_major_formatter(lambda value, _: f"{value:g}")


def symlog_ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Return zero and powers of ten for an axis that is linear up to one, so far apart that about `most` are on it."""

    def height(value: float) -> float:
        return float(np.sign(value)) * (abs(value) if abs(value) < 1 else 1 + math.log10(abs(value)))

    apart = max(1, math.ceil((height(high) - height(low)) / most))
    first = 0 if apart == 1 else apart
    ticks = [0.0]
    for sign, end in ((1.0, high), (-1.0, -low)):
        powers = range(first, math.floor(math.log10(max(end, 1.0))) + 1, apart)
        ticks += [sign * 10.0**power for power in powers if end >= 1]
    return sorted(ticks)


def _line(ax: Axes, points: int, step: Floats, values: Floats, **how: Any) -> None:
    ax.plot(*thin(step, values, points), **how)


def _x_axis(ax: Axes, track: Track) -> None:
    from matplotlib.ticker import MaxNLocator

    ax.set_xlim(0, max(float(track.step[-1]), 1.0) if track.step.size else 1.0)
    ax.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10], integer=True))
    ax.set_xlabel("step")


def _mark(ax: Axes, track: Track) -> None:
    """Mark the first alarm by a line with a head, so that it is seen without colour too."""
    if track.first_step is None:
        return
    ax.axvline(track.first_step, color=ALARM, linewidth=0.9, linestyle=(0, (4, 2)))
    ax.plot(
        [track.first_step], [1.0], "v", color=ALARM, markersize=6, transform=ax.get_xaxis_transform(), clip_on=False
    )


def _alarms(ax: Axes, track: Track) -> None:
    """Draw each alarm as a bar over its steps, one below the other at the top, with its name at the nearer end."""
    last = float(track.step[-1]) if track.step.size else 1.0
    for lane, alarm in enumerate(track.alarms[:MOST_ALARMS]):
        height, late = 0.97 - 0.075 * lane, alarm.first > last / 2
        across = ax.get_xaxis_transform()
        ax.plot([alarm.first, alarm.last], [height, height], color=ALARM, linewidth=2, transform=across)
        ax.annotate(
            alarm.name,
            (alarm.last if late else alarm.first, height),
            xycoords=across,
            xytext=(0, -2),
            textcoords="offset points",
            color=ALARM,
            fontsize=6.5,
            ha="right" if late else "left",
            va="top",
            parse_math=False,
            bbox={"facecolor": CARD, "alpha": 0.8, "edgecolor": "none", "pad": 0.5},
        )


def write_title(ax: Axes, title: str, verdict: str) -> None:
    """Write the verdict to the left, in its colour, and what it is about below; names are text, never mathematics."""
    ax.set_title(f"{shorten(title, TITLE)}\n", loc="left", parse_math=False)
    ax.annotate(
        verdict,
        (0, 1),
        xycoords="axes fraction",
        xytext=(0, 5),
        textcoords="offset points",
        color=VERDICTS.get(verdict, INK),
        fontweight="bold",
        fontsize=8.5,
        parse_math=False,
    )


def shorten(text: str, length: int) -> str:
    """Return `text`, where it is longer than `length` with an ellipsis for its middle: names differ at the end."""
    head = length // 3
    return text if len(text) <= length else text[:head] + "\N{HORIZONTAL ELLIPSIS}" + text[head + 1 - length :]


def captioned(title: str, caption: str) -> str:
    """Return the caption of a figure of that title, with the whole of it where the figure has no room."""
    return caption if len(title) <= TITLE else f"{title}: {caption}"
