"""What is measured of a cell over its seeds, in numbers: curves with their spread, and where the runs ended.

With a handful of seeds the honest spread is the range, so that is what stands beside every median here: the least and
the greatest. What is not finite has no place in it, and is counted.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

import attrs
import numpy as np
import numpy.typing as npt

from optiscope.analysis.detectors import WINDOW
from optiscope.report.inputs import Floats, Track

NOTHING = "\N{EN DASH}"


@attrs.frozen(kw_only=True, eq=False)
class Seeds:
    """A series over several runs: at each `step` the least, the middle and the greatest, [N] each; NaN where none is.

    `smooth` says that they are those of running medians.
    """

    step: Floats
    low: Floats
    middle: Floats
    high: Floats
    smooth: bool = False


def over_seeds(series: Sequence[Floats], points: int = 1200) -> Seeds:
    """Return the running medians over `WINDOW` steps of several runs, [T] each, from step 1; at most about 2 `points`.

    Series that are too short for them are taken as they are. What follows a number that is not finite is left out.
    """
    longest = max((values.size for values in series), default=0)
    smooth, stride = longest > WINDOW, max(1, longest // points)
    at = np.unique(np.append(np.arange(0, longest, stride), longest - 1)) if longest else np.empty(0, np.intp)
    table = np.full((len(series), at.size), np.nan)
    for row, values in zip(table, series, strict=True):
        bad = np.flatnonzero(~np.isfinite(values))
        values = values[: bad[0]] if bad.size else values
        known = at[at < values.size]
        row[: known.size] = running_medians(values, known) if smooth else values[known]
    low, middle, high = _range(table)
    return Seeds(step=1 + at.astype(np.float64), low=low, middle=middle, high=high, smooth=smooth)


def running_medians(values: Floats, at: npt.NDArray[np.intp]) -> Floats:
    """Return the running medians of `values`, [T], at the indices `at`, [N] to [N].

    Each is over as many steps before it as after it, `WINDOW` in all. Near an end that is fewer, down to one: so
    neither a steep beginning nor a run that blows up at its end is hidden, as it would be if all were alike there.
    """
    half = np.minimum(np.minimum(at, values.size - 1 - at), WINDOW // 2)
    medians = np.array(
        [np.median(values[i - n : i + n + 1]) if n < WINDOW // 2 else 0.0 for i, n in zip(at, half, strict=True)]
    )
    if (whole := half == WINDOW // 2).any():
        windows = np.lib.stride_tricks.sliding_window_view(values, WINDOW)
        medians[whole] = np.median(windows[at[whole] - WINDOW // 2], axis=-1)
    return medians


def at_epochs(tracks: Sequence[Track]) -> Seeds:
    """Return the test accuracy of several runs after each epoch."""
    steps = np.unique(np.concatenate([track.epoch_step for track in tracks])) if tracks else np.empty(0)
    table = np.full((len(tracks), steps.size), np.nan)
    for row, track in zip(table, tracks, strict=True):
        row[np.searchsorted(steps, track.epoch_step)] = track.val_accuracy
    low, middle, high = _range(table)
    return Seeds(step=steps, low=low, middle=middle, high=high)


def _range(table: Floats) -> Floats:
    """Return the least, the median and the greatest of each column, [3, N], of what is finite in it."""
    table = np.where(np.isfinite(table), table, np.nan)
    found, known = np.full((3, table.shape[1]), np.nan), np.isfinite(table).any(axis=0)
    if known.any():
        found[:, known] = [measure(table[:, known], axis=0) for measure in (np.nanmin, np.nanmedian, np.nanmax)]
    return found


def has_accuracy(tracks: Iterable[Track]) -> bool:
    """Say whether an accuracy was measured in any of several runs; problems that only have a loss have none."""
    return any(np.isfinite(values).any() for track in tracks for values in (track.accuracy, track.val_accuracy))


def end_loss(track: Track) -> float:
    """Return the median training loss of the last tenth of the steps; NaN where the run diverged."""
    if track.status == "diverged" or not track.loss.size:
        return math.nan
    return float(np.median(track.loss[-max(1, track.loss.size // 10) :]))


def end_accuracy(track: Track) -> float:
    """Return the accuracy on the test images after the last epoch; NaN where none was measured, or the run diverged."""
    return _last(track, track.val_accuracy)


def end_train_accuracy(track: Track) -> float:
    """Return the accuracy on the fixed training images after the last epoch, as `end_accuracy`."""
    return _last(track, track.train_accuracy)


def gap(track: Track) -> float:
    """Return the generalisation gap: training accuracy less test accuracy, after the last epoch."""
    return end_train_accuracy(track) - end_accuracy(track)


def _last(track: Track, values: Floats) -> float:
    return float(values[-1]) if values.size and track.status != "diverged" else math.nan


@attrs.frozen(kw_only=True)
class Spread:
    """Median and range of `count` numbers; `lost` others were not finite. NaN where there is none."""

    middle: float
    low: float
    high: float
    count: int
    lost: int

    @property
    def width(self) -> float:
        """The greatest less the least."""
        return self.high - self.low


def spread(values: Iterable[float]) -> Spread:
    """Return the median and the range of `values`."""
    numbers = list(values)
    known = [value for value in numbers if math.isfinite(value)]
    low, middle, high = (min(known), float(np.median(known)), max(known)) if known else (math.nan,) * 3
    return Spread(middle=middle, low=low, high=high, count=len(known), lost=len(numbers) - len(known))


def told(found: Spread, write: Callable[[float], str] = "{:.3g}".format) -> str:
    """Return median and range as a person would write them: "0.52 (0.48 to 0.61)".

    It is the number alone of one seed, and of several that differ in no digit that is written.
    """
    if not found.count:
        return "not finite" if found.lost else NOTHING
    words = write(found.middle)
    low, high = write(found.low), write(found.high)
    if low != high:
        words += f" ({low} to {high})"
    return f"{words}, {found.lost} not finite" if found.lost else words


def percent(value: float) -> str:
    """Return a share as a percentage, which no line breaks."""
    return f"{100 * value:.1f}\N{NO-BREAK SPACE}%"


def told_share(found: Spread) -> str:
    """Return the median and the range of shares; a dash where there is none, as for problems without accuracies."""
    return told(found, percent) if found.count else NOTHING
